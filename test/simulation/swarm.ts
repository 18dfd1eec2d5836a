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
import { Lookups } from './swarm-lookups.ts'
import type { LookupResult } from './swarm-lookups.ts'
import { SwarmWeather } from './swarm-weather.ts'
import { makeModel } from './toy/model.ts'

/** Over which a mesh comes up: each knows a few that were there before. */
const COMING_MS = 10_000
const BOOTSTRAPS = 8
const MOST_MS = 120_000
const LOOK_MS = 1_000
const LAYERS = 4
const LOOKUPS_A_SECOND = 10
/** R16. */
const LEAST_RIGHT = 0.99

export interface SwarmOptions {
  readonly seed: number
  readonly peers: number
  /** Virtual minutes of churn after all know all. */
  readonly minutes: number
  /** Share of the peers that are replaced in a minute. */
  readonly churn: number
}

export interface SwarmResult extends LookupResult {
  readonly hash: string
  readonly peers: number
  readonly steps: number
  readonly frames: number
  /** Milliseconds from the start of the last peer until each knew each; null: not in two minutes. */
  readonly convergedMs: number | null
  /** Of a peer, then: the least and the mean. */
  readonly connections: { readonly least: number; readonly mean: number }
  /** Of all pairs that one of a few peers is one half of: share that it takes for there. */
  readonly there: number
  /** Ways that were cut or slow while peers came and went, by kind. */
  readonly faults: Readonly<Record<string, number>>
  /** Milliseconds from the end of all faults until each takes each for there, those that came back last too; null: not in two minutes. */
  readonly healedMs: number | null
  /** Peers that left in order or died, and came back. */
  readonly replaced: number
  /** Bytes: the most that the process has taken. */
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
  let knowing = 0
  while (scheduler.now - since < MOST_MS && convergedMs === null) {
    await scheduler.run(LOOK_MS)
    // Nobody forgets anybody now: who lacks somebody is asked again, and then those behind it.
    while (knowing < peers.length && knownTo(peers[knowing]!) === peers.length - 1) knowing++
    log.add('knowing', knowing, hub.frames)
    if (knowing === peers.length) convergedMs = scheduler.now - since
  }
  if (convergedMs === null) violations.push('not all peers know all others')

  const degrees = peers.map((peer) => peer.network!.connected().length)
  const connections = { least: Math.min(...degrees), mean: degrees.reduce((sum, one) => sum + one, 0) / degrees.length }
  const seen = peers.slice(-3).flatMap((peer) => peer.peer!.status().peers)
  const there = seen.filter(({ state }) => state === 'connected').length / (3 * (peers.length - 1))

  const churning = chance.of('churn')
  let isOver = false
  let replaced = 0
  const next = (): void => {
    scheduler.after(churning.wait(options.churn * options.peers), () => {
      if (isOver) return
      const peer = churning.pick(peers.slice(BOOTSTRAPS).filter(({ isUp }) => isUp))
      if (peer !== undefined) {
        replaced++
        if (churning.is(0.5)) void peer.leave()
        else peer.kill(churning.is(0.5))
        scheduler.after(churning.between(1_000, 30_000), () => void peer.start())
      }
      next()
    })
  }
  next()
  const weather = new SwarmWeather({ scheduler, hub, log, chance: chance.of('weather'), peers })
  weather.start()
  const lookups = new Lookups({ scheduler, log, peers, machineNow })
  for (let second = 0; second < options.minutes * 60; second++) {
    await scheduler.run(1_000)
    for (let each = 0; each < LOOKUPS_A_SECOND; each++) lookups.by(churning.pick(peers.filter(({ isUp }) => isUp))!)
  }
  isOver = true
  weather.stop()
  const healedMs = await whole(scheduler, peers)
  log.add('healed', healedMs)
  if (healedMs === null) violations.push('not all peers are there for all others after the last came back')
  const found = lookups.result
  if (found.right < LEAST_RIGHT * found.lookups)
    violations.push(`${found.lookups - found.right} of ${found.lookups} lookups were wrong`)
  log.add('end', found.lookups, found.right, found.answered, hub.frames, scheduler.steps)
  return {
    hash: log.digest(),
    peers: peers.length,
    steps: scheduler.steps,
    frames: hub.frames,
    convergedMs,
    connections,
    there,
    faults: Object.fromEntries(weather.fired),
    healedMs,
    replaced,
    ...found,
    rss: process.resourceUsage().maxRSS * 1024,
    violations,
  }
}

/** Milliseconds until all are up, and a few at either end take all others for there. */
async function whole(scheduler: Scheduler, peers: readonly SimulatedPeer[]): Promise<number | null> {
  const few = [...peers.slice(0, 3), ...peers.slice(-3)]
  const sees = (by: SimulatedPeer): number =>
    by.peer?.status().peers.filter(({ state }) => state === 'connected').length ?? 0
  const since = scheduler.now
  while (scheduler.now - since < MOST_MS) {
    await scheduler.run(LOOK_MS)
    if (peers.every(({ isUp }) => isUp) && few.every((by) => sees(by) === peers.length - 1))
      return scheduler.now - since
  }
  return null
}

/** Other peers whose profiles it has. */
function knownTo(by: SimulatedPeer): number {
  return by.peer?.status().peers.filter(({ profile }) => profile !== null).length ?? 0
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
