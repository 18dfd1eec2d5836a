/**
 * One run: a mesh out of a seed, faults for some minutes, then a core that is healed and has to be whole again while the
 * others stay broken. The same seed gives the same run, to the last frame.
 */
import { setDiskClock, wipe } from './disk/memory-disk.ts'
import { countersHash, disagreement, heldSessions, wronglyBlamed } from './checks.ts'
import { Faults } from './faults.ts'
import { guard } from './guards.ts'
import { RunLog } from './log.ts'
import { Hub } from './net/hub.ts'
import { SimulatedPeer } from './peer.ts'
import { planRun } from './plan.ts'
import type { RunOptions } from './plan.ts'
import { Chance } from './random.ts'
import { LATE_MS, Requests } from './requests.ts'
import type { Outcomes } from './requests.ts'
import { Scheduler, START } from './scheduler.ts'
import { makeModel, VOCABULARY } from './toy/model.ts'
import { Reference } from './toy/mix.ts'
import type { Bits } from './toy/mix.ts'

/** In which a healed core agrees (B.0, checker 5). */
const AGREE_MS = 30_000
/** Before it, at the beginning: everybody has found everybody. */
const BEGIN_MS = 5_000
const LOOK_MS = 250
/** The longest deadline of a request. */
const QUIET_MS = 75_000
/** Texts that each peer of the core is asked for at the end. */
const LAST_REQUESTS = 2
const LAST_DEADLINE_MS = 60_000

export interface RunResult {
  readonly seed: number
  readonly hash: string
  readonly peers: number
  readonly virtualMs: number
  readonly steps: number
  readonly frames: number
  readonly faults: ReadonlyMap<string, number>
  readonly outcomes: Outcomes
  /** Of all peers that were up at the end. */
  readonly counters: ReadonlyMap<string, number>
  /** Milliseconds from the healing until the core agreed; null: it did not in time. */
  readonly agreedMs: number | null
  readonly violations: readonly string[]
  /** Where the product took time past its clock. */
  readonly escapes: readonly string[]
}

export async function run(options: RunOptions, listen?: (line: string) => void): Promise<RunResult> {
  wipe('/sim')
  const scheduler = new Scheduler()
  setDiskClock(() => START + scheduler.now)
  const guards = guard(scheduler)
  const chance = new Chance(`seed ${options.seed}`)
  const log = new RunLog(scheduler, listen)
  const plan = planRun(chance.of('plan'), options)
  const hub = new Hub(scheduler, chance.of('network'), plan.between)
  const violations: string[] = []
  const violated = (what: string): void => {
    log.add('VIOLATED', what)
    violations.push(`${scheduler.now.toFixed(0)} ms: ${what}`)
  }
  await makeModel(chance.of('model'), plan.layers)
  let pid = 1_000
  const peers: SimulatedPeer[] = []
  const world = { scheduler, hub, log, nextPid: () => pid++, bootstrap: () => [peers[0]!.address, peers[1]!.address] }
  for (const each of plan.peers) peers.push(new SimulatedPeer(world, each, chance.of(`peer ${each.index}`)))
  const onRejection = (error: unknown): void => violated(`nobody handled ${String((error as Error).stack ?? error)}`)
  process.on('unhandledRejection', onRejection)
  const liar = plan.liar === undefined ? undefined : peers[plan.liar.index]
  if (liar !== undefined) liar.twist = lies(chance.of('lies'), plan.liar!.share)
  for (const peer of peers) void peer.start()
  await scheduler.run(BEGIN_MS)

  const reference = new Reference(plan.layers, VOCABULARY)
  const requests = new Requests({
    scheduler,
    log,
    chance: chance.of('requests'),
    peers,
    reference,
    auditRate: plan.auditRate,
    isLiedTo: () => liar?.isUp === true,
    violated,
  })
  const faults = new Faults({ scheduler, hub, log, chance: chance.of('faults'), peers, rates: plan.rates })
  faults.start()
  requests.start(plan.requests)
  for (let second = 0; second < options.minutes * 60; second++) {
    await scheduler.run(1_000)
    requests.check()
  }
  requests.stop()

  const core = coreOf(peers, liar, chance.of('core'))
  faults.heal(new Set(core))
  const agreedMs = await agree(scheduler, core)
  if (agreedMs === null)
    violated(`the core does not agree ${AGREE_MS / 1000} s after it was healed: ${disagreement(core)}`)
  else log.add('agreed', agreedMs)
  for (let waited = 0; waited < QUIET_MS + LATE_MS && requests.open > 0; waited += 1_000) {
    await scheduler.run(1_000)
    requests.check()
  }
  let isExact = 0
  const asked = core.flatMap((peer) => (peer.isUp ? Array.from({ length: LAST_REQUESTS }, () => peer) : []))
  for (const peer of asked) void requests.ask(peer, LAST_DEADLINE_MS).then((exact) => (isExact += Number(exact)))
  await scheduler.run(QUIET_MS)
  requests.check()
  if (isExact < asked.length) violated(`${asked.length - isExact} of ${asked.length} texts of a healed core failed`)
  await scheduler.run(LATE_MS)
  for (const blamed of wronglyBlamed(peers, liar?.id)) violated(blamed)
  for (const peer of core) {
    const held = peer.isUp ? heldSessions(peer) : 0
    if (held !== 0) violated(`${peer.name} holds ${held} sessions of nobody`)
  }
  if (faults.total === 0) violated('no fault has fired')
  log.add('end', countersHash(peers), hub.frames, scheduler.steps)
  const counters = countersOf(peers)
  await end(scheduler, peers)
  process.off('unhandledRejection', onRejection)
  return {
    seed: options.seed,
    hash: log.digest(),
    peers: peers.length,
    virtualMs: scheduler.now,
    steps: scheduler.steps,
    frames: hub.frames,
    faults: faults.fired,
    outcomes: requests.outcomes,
    counters,
    agreedMs,
    violations,
    escapes: [...guards.escapes],
  }
}

/** More than half of the peers, those with the model among them. */
function coreOf(peers: readonly SimulatedPeer[], liar: SimulatedPeer | undefined, chance: Chance): SimulatedPeer[] {
  const wanted = Math.floor(peers.length / 2) + 1
  const core = peers.slice(0, 2)
  const others = peers.slice(2).filter((peer) => peer !== liar)
  while (core.length < wanted && others.length > 0) core.push(others.splice(chance.whole(0, others.length - 1), 1)[0]!)
  return core.sort((left, right) => left.index - right.index)
}

/** Some of the rows of a stage, of nothing or of something else. */
function lies(chance: Chance, share: number): (row: Bits) => Bits {
  return (row) => (chance.is(share) ? [row[0] ^ 1, row[1]] : row)
}

async function agree(scheduler: Scheduler, core: readonly SimulatedPeer[]): Promise<number | null> {
  for (let waited = 0; waited < AGREE_MS; waited += LOOK_MS) {
    await scheduler.run(LOOK_MS)
    if (disagreement(core) === undefined) return waited + LOOK_MS
  }
  return null
}

function countersOf(peers: readonly SimulatedPeer[]): Map<string, number> {
  const sums = new Map<string, number>()
  for (const peer of peers) {
    for (const [name, value] of Object.entries(peer.peer?.status().counters ?? {}))
      if (value > 0) sums.set(name, (sums.get(name) ?? 0) + value)
  }
  return sums
}

/** Everybody dies, so that nothing of this run is left for the next. */
async function end(scheduler: Scheduler, peers: readonly SimulatedPeer[]): Promise<void> {
  for (const peer of peers) if (!peer.process.isDead) peer.kill(true)
  await scheduler.run(0)
}
