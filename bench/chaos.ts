/**
 * Everything that can happen to peers, at random from a seed, while several answers are under way: kill -9, freeze and wake,
 * a killed stage host, a graceful leave, each followed by a return. Every answer is compared with the undisturbed one.
 * `node bench/chaos.ts [MODEL.gguf] [--seconds 60] [--seed 1] [--users 4] [--peers 4] [--origin-memory 8MB]
 * [--faults kill,freeze,host,leave] [--every 3] [--undisturbed 0]`: a fault about `every` seconds; `undisturbed` seconds
 * before them give the tokens a second that those under faults are held against.
 * Ends with status 1 when an answer differed, failed or hung, or when no fault fired.
 */
import { parseArgs } from 'node:util'
import {
  answer,
  codeOf,
  createLab,
  endProcess,
  greedy,
  joined,
  placement,
  TINY,
  until,
} from '../test/integration/support.ts'
import type { Lab, RealPeer } from '../test/integration/support.ts'
import type { GenerateRequest } from '../src/pipeline/index.ts'
import { systemClock } from '../src/util/index.ts'
import { footprint } from './support/footprint.ts'
import type { Footprint } from './support/footprint.ts'

const clock = systemClock()
const FAULTS = ['kill', 'freeze', 'host', 'leave'] as const
const DEADLINE_MS = 60_000

interface Tally {
  tokens: number
  exact: number
  different: number
  failovers: number
  replayed: number
  longest: number
  readonly failed: Map<string, number>
  readonly faults: Map<string, number>
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: 'string', default: '60' },
      seed: { type: 'string', default: '1' },
      users: { type: 'string', default: '4' },
      peers: { type: 'string', default: '4' },
      'origin-memory': { type: 'string' },
      faults: { type: 'string', default: FAULTS.join() },
      every: { type: 'string', default: '3' },
      undisturbed: { type: 'string', default: '0' },
    },
  })
  const random = seeded(Number(values.seed))
  const lab = await createLab()
  const memory = values['origin-memory']
  try {
    const origin = await lab.start('origin', memory === undefined ? [] : ['--memory', memory])
    const names = Array.from({ length: Number(values.peers) }, (_, index) => `p${index}`)
    const peers = new Map(await Promise.all(names.map(async (name) => [name, await lab.start(name)] as const)))
    await joined([origin, ...peers.values()])
    const requests = await prepare(origin, [...peers.values()], positionals[0] ?? TINY, random)
    const users = Number(values.users)
    const quiet = newTally()
    const calm = clock.now()
    await Promise.all(
      Array.from({ length: users }, () =>
        use(origin, requests, quiet, calm + Number(values.undisturbed) * 1000, random),
      ),
    )
    const calmRate = rate(quiet, calm)
    const faults = FAULTS.filter((fault) => values.faults.split(',').includes(fault))
    const every = Number(values.every) * 1000
    const tally = newTally()
    const started = clock.now()
    const end = clock.now() + Number(values.seconds) * 1000
    const before = footprint(origin.pid)
    await Promise.all([
      ...Array.from({ length: users }, () => use(origin, requests, tally, end, random)),
      disturb({ lab, origin, peers, tally, end, random, faults, every }),
    ])
    await until('the sessions are freed', async () => {
      const { counters } = await origin.access.status()
      return counters['sessions_opened'] === counters['sessions_freed']
    })
    report(tally, before, footprint(origin.pid))
    const share =
      calmRate === 0
        ? ''
        : `, undisturbed ${calmRate.toFixed(1)}: ${(rate(tally, started) / calmRate).toFixed(2)} of it`
    process.stdout.write(`${rate(tally, started).toFixed(1)} tokens/s for ${users} users${share}\n`)
    if (tally.different > 0 || tally.failed.size > 0 || tally.failovers === 0) process.exitCode = 1
  } finally {
    await lab.stop()
  }
}

function newTally(): Tally {
  return {
    tokens: 0,
    exact: 0,
    different: 0,
    failovers: 0,
    replayed: 0,
    longest: 0,
    failed: new Map(),
    faults: new Map(),
  }
}

/** Tokens a second since then. */
function rate({ tokens }: Tally, since: number): number {
  return (tokens * 1000) / (clock.now() - since)
}

interface Case {
  readonly request: GenerateRequest
  readonly ids: string
}

async function prepare(
  origin: RealPeer,
  peers: readonly RealPeer[],
  source: string,
  random: () => number,
): Promise<readonly Case[]> {
  const importer = peers[0]!
  await importer.access.importModel({ source, name: 'bench' }, () => undefined)
  await until('the model is known', async () =>
    (await origin.access.status()).peers.some(({ models }) => models.includes('bench')),
  )
  const cases: Case[] = []
  for (let index = 0; index < 6; index++) {
    const ids = Array.from({ length: 2 + Math.floor(random() * 200) }, () => 300 + Math.floor(random() * 500))
    const tokens = 40 + Math.floor(random() * 120)
    const sampling = { ...greedy('bench', 1).sampling, temperature: index % 2, topK: 40, seed: index + 1 }
    const request = greedy('bench', tokens, { input: { kind: 'ids', ids }, sampling, deadline: DEADLINE_MS })
    const { ids: expected, error } = await answer(importer, { ...request, placement: 'local' })
    if (error !== undefined) throw error
    cases.push({ request, ids: expected.join() })
  }
  const { blocks } = (await importer.access.manifest('bench')) as { readonly blocks: readonly unknown[] }
  const inner = blocks.length - 2
  const cut = (part: number): number => 1 + Math.round((inner * part) / Math.min(3, peers.length))
  const stages = peers.slice(0, 3).map((peer, part) => [peer, cut(part), cut(part + 1)] as const)
  const whole = [[origin, 0, 1], ...stages, [origin, blocks.length - 1, blocks.length]] as const
  await origin.access.deploy('bench', placement('bench', whole), () => undefined)
  return cases
}

async function use(
  origin: RealPeer,
  cases: readonly Case[],
  tally: Tally,
  end: number,
  random: () => number,
): Promise<void> {
  while (clock.now() < end) {
    const { request, ids } = cases[Math.floor(random() * cases.length)]!
    const started = clock.now()
    const got = await answer(origin, request)
    tally.tokens += got.ids.length
    tally.longest = Math.max(tally.longest, clock.now() - started)
    tally.failovers += got.reroutes.reduce((sum, { lost }) => sum + lost.length, 0)
    tally.replayed += got.reroutes.reduce((sum, { replayed_rows }) => sum + replayed_rows, 0)
    if (got.error !== undefined) add(tally.failed, codeOf(got.error))
    else if (got.ids.join() === ids) tally.exact++
    else tally.different++
  }
}

/** One fault at a time for each peer; the next begins while others still last. */
async function disturb(init: {
  readonly lab: Lab
  readonly origin: RealPeer
  readonly peers: Map<string, RealPeer>
  readonly tally: Tally
  readonly end: number
  readonly random: () => number
  readonly faults: readonly (typeof FAULTS)[number][]
  /** Milliseconds. */
  readonly every: number
}): Promise<void> {
  const { lab, origin, peers, tally, end, random, faults, every } = init
  const busy = new Map<string, Promise<void>>()
  while (clock.now() < end) {
    await clock.sleep(every / 2 + random() * every)
    const free = [...peers.keys()].filter((name) => !busy.has(name))
    const name = free[Math.floor(random() * free.length)]
    // One stays, so that somebody has the weights.
    if (name === undefined || free.length < 2) continue
    const fault = faults[Math.floor(random() * faults.length)]
    if (fault === undefined) return
    const wait = 500 + random() * 5_000
    add(tally.faults, fault)
    const task = inflict(lab, origin, peers, name, fault, wait).finally(() => busy.delete(name))
    busy.set(name, task)
  }
  await Promise.all(busy.values())
}

async function inflict(
  lab: Lab,
  origin: RealPeer,
  peers: Map<string, RealPeer>,
  name: string,
  fault: (typeof FAULTS)[number],
  wait: number,
): Promise<void> {
  const peer = peers.get(name)!
  if (fault === 'host') {
    const stage = (await origin.access.status()).stages.find((one) => one.peer === peer.id && one.state === 'ready')
    if (stage !== undefined) process.kill(stage.pid, 'SIGKILL')
    return
  }
  if (fault === 'freeze') {
    peer.child.kill('SIGSTOP')
    await clock.sleep(wait)
    peer.child.kill('SIGCONT')
    return
  }
  if (fault === 'kill') peer.child.kill('SIGKILL')
  await endProcess(peer.child)
  await clock.sleep(wait)
  peers.set(name, await lab.start(name))
}

function report(tally: Tally, before: Footprint, after: Footprint): void {
  const list = (map: ReadonlyMap<string, number>): string =>
    map.size === 0 ? 'none' : [...map].map(([name, count]) => `${name} ${count}`).join(', ')
  process.stdout.write(
    `faults: ${list(tally.faults)}\nanswers: ${tally.exact} exact, ${tally.different} different, failed: ${list(tally.failed)}; ` +
      `the longest took ${(tally.longest / 1000).toFixed(1)} s\n${tally.failovers} stages replaced, ${tally.replayed} rows fed again\n` +
      `origin before and after: ${before.rss} -> ${after.rss} MiB, ${before.descriptors} -> ${after.descriptors} descriptors\n`,
  )
}

function add(map: Map<string, number>, key: string): void {
  map.set(key, (map.get(key) ?? 0) + 1)
}

/** mulberry32. */
function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let value = Math.imul(state ^ (state >>> 15), state | 1)
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296
  }
}

await main()
