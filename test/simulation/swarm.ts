/**
 * Many peers in one process (R16): how long until all know all, whether those who are asked where a block is name
 * somebody who has it, while peers come and go, and what it takes.
 */
import { setDiskClock, wipe } from './disk/memory-disk.ts'
import { guard } from './guards.ts'
import { RunLog } from './log.ts'
import { Hub } from './net/hub.ts'
import { SimulatedPeer } from './peer.ts'
import type { PeerPlan } from './peer.ts'
import { Chance } from './random.ts'
import { Scheduler, START } from './scheduler.ts'
import { makeModel } from './toy/model.ts'

/** Over which a mesh comes up: each knows a few that were there before. */
const COMING_MS = 10_000
const BOOTSTRAPS = 8
const MOST_MS = 120_000
const LOOK_MS = 1_000
const LAYERS = 4

export interface SwarmOptions {
  readonly seed: number
  readonly peers: number
  /** Virtual minutes of churn after all know all. */
  readonly minutes: number
  /** Share of the peers that are replaced in a minute. */
  readonly churn: number
}

export interface SwarmResult {
  readonly hash: string
  readonly peers: number
  readonly steps: number
  readonly frames: number
  /** Milliseconds from the start of the last peer until each knew each; null: not in two minutes. */
  readonly convergedMs: number | null
  readonly lookups: number
  readonly right: number
  /** Milliseconds of the machine. */
  readonly lookupP95Ms: number
  readonly rss: number
  readonly violations: readonly string[]
}

export async function swarm(options: SwarmOptions, listen?: (line: string) => void): Promise<SwarmResult> {
  wipe('/sim')
  const scheduler = new Scheduler()
  setDiskClock(() => START + scheduler.now)
  const { machineNow } = guard(scheduler)
  const chance = new Chance(`swarm ${options.seed}`)
  const log = new RunLog(scheduler, listen)
  const hub = new Hub(scheduler, chance.of('network'))
  const violations: string[] = []
  await makeModel(chance.of('model'), LAYERS)
  let pid = 1_000
  const peers: SimulatedPeer[] = []
  const random = chance.of('bootstrap')
  const world = {
    scheduler,
    hub,
    log,
    nextPid: () => pid++,
    bootstrap: () =>
      Array.from({ length: 3 }, () => peers[random.whole(0, Math.min(BOOTSTRAPS, peers.length) - 1)]!.address),
  }
  for (let index = 0; index < options.peers; index++)
    peers.push(new SimulatedPeer(world, planOf(index, chance.of(`plan ${index}`)), chance.of(`peer ${index}`)))
  for (const peer of peers)
    scheduler.after(peer.index < BOOTSTRAPS ? 0 : random.between(0, COMING_MS), () => void peer.start())
  await scheduler.run(COMING_MS)

  const since = scheduler.now
  let convergedMs: number | null = null
  while (scheduler.now - since < MOST_MS && convergedMs === null) {
    await scheduler.run(LOOK_MS)
    const known = peers.map((peer) => peer.peer!.status().peers.filter(({ profile }) => profile !== null).length)
    const least = Math.min(...known)
    const mean = known.reduce((sum, count) => sum + count, 0) / known.length
    log.add('known', least, mean.toFixed(1), hub.frames)
    if (least === peers.length - 1) convergedMs = scheduler.now - since
  }
  if (convergedMs === null) violations.push('not all peers know all others')

  const churning = chance.of('churn')
  let isOver = false
  const next = (): void => {
    scheduler.after(churning.wait(options.churn * options.peers), () => {
      if (isOver) return
      const peer = churning.pick(peers.slice(BOOTSTRAPS).filter(({ isUp }) => isUp))
      if (peer !== undefined) {
        if (churning.is(0.5)) void peer.leave()
        else peer.kill(churning.is(0.5))
        scheduler.after(churning.between(1_000, 30_000), () => void peer.start())
      }
      next()
    })
  }
  next()
  let lookups = 0
  let right = 0
  const times: number[] = []
  for (let second = 0; second < options.minutes * 60; second++) {
    await scheduler.run(1_000)
    for (let each = 0; each < 10; each++) {
      const by = churning.pick(peers.filter(({ isUp }) => isUp))!
      const started = machineNow()
      const found = holderOf(by)
      times.push(machineNow() - started)
      lookups++
      const target = peers.find(({ id }) => id === found)
      if (target?.isUp === true && target.plan.hasModel) right++
    }
  }
  isOver = true
  if (lookups > 0 && right < 0.99 * lookups) violations.push(`${lookups - right} of ${lookups} lookups were wrong`)
  log.add('end', lookups, right, hub.frames, scheduler.steps)
  const rss = process.memoryUsage.rss()
  times.sort((left, right_) => left - right_)
  return {
    hash: log.digest(),
    peers: peers.length,
    steps: scheduler.steps,
    frames: hub.frames,
    convergedMs,
    lookups,
    right,
    lookupP95Ms: times[Math.floor(times.length * 0.95)] ?? 0,
    rss,
    violations,
  }
}

/** Who has the model, as a peer knows: the nearest of those that it is connected to. */
function holderOf(by: SimulatedPeer): string | undefined {
  const { peers } = by.peer!.status()
  const holders = peers.filter(({ state, models }) => state === 'connected' && models.length > 0)
  return holders.sort((left, right) => (left.rtt_ms ?? 0) - (right.rtt_ms ?? 0))[0]?.id
}

function planOf(index: number, chance: Chance): PeerPlan {
  return {
    index,
    device: {
      speed: { layerMs: chance.between(0.5, 8), headMs: 1 },
      memory: 4_000_000,
      skew: 0,
    },
    access: { latency: chance.between(1, 40), jitter: chance.between(0, 3), rate: 10_000, loss: 0 },
    lan: undefined,
    hasModel: index % 10 === 0,
  }
}
