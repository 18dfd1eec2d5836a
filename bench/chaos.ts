/**
 * Everything that can happen to peers, at random from a seed, while several answers are under way: kill -9, freeze and wake,
 * a killed stage host, a graceful leave, each followed by a return. Every answer is compared with the undisturbed one.
 * `node bench/chaos.ts [MODEL.gguf] [--seconds 60] [--seed 1] [--users 4] [--peers 4] [--origin-memory 8MB]
 * [--faults kill,freeze,host,leave] [--every 3] [--undisturbed 0]`: a fault about `every` seconds; `undisturbed` seconds
 * before them give the tokens a second that those under faults are held against.
 * Ends with status 1 when an answer differed, failed or hung, when no fault fired, or with less than 0.7 of the undisturbed.
 */
import { parseArgs } from 'node:util'
import { createLab, endProcess, joined, placement, TINY, until } from '../test/integration/support.ts'
import type { Lab, RealPeer } from '../test/integration/support.ts'
import { systemClock } from '../src/util/index.ts'
import { add, casesOf, listed, newTally, rate, use } from './support/cases.ts'
import type { Case, Tally } from './support/cases.ts'
import { footprint } from './support/footprint.ts'
import type { Footprint } from './support/footprint.ts'
import { seeded } from './support/random.ts'

const clock = systemClock()
const FAULTS = ['kill', 'freeze', 'host', 'leave'] as const
/** Of the tokens a second without faults, where those were measured. */
const LEAST_SHARE = 0.7

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
    const share = calmRate === 0 ? 1 : rate(tally, started) / calmRate
    const beside = calmRate === 0 ? '' : `, undisturbed ${calmRate.toFixed(1)}: ${share.toFixed(2)} of it`
    process.stdout.write(`${rate(tally, started).toFixed(1)} tokens/s for ${users} users${beside}\n`)
    const isWhole = tally.different + tally.torn + tally.failed.size === 0
    if (!isWhole || tally.failovers === 0 || share < LEAST_SHARE) process.exitCode = 1
  } finally {
    await lab.stop()
  }
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
  const cases = await casesOf(importer, { model: 'bench', random })
  const { blocks } = (await importer.access.manifest('bench')) as { readonly blocks: readonly unknown[] }
  const inner = blocks.length - 2
  const cut = (part: number): number => 1 + Math.round((inner * part) / Math.min(3, peers.length))
  const stages = peers.slice(0, 3).map((peer, part) => [peer, cut(part), cut(part + 1)] as const)
  const whole = [[origin, 0, 1], ...stages, [origin, blocks.length - 1, blocks.length]] as const
  await origin.access.deploy('bench', placement('bench', whole), () => undefined)
  return cases
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
  process.stdout.write(
    `faults: ${listed(tally.faults)}\nanswers: ${tally.exact} exact, ${tally.different} different, failed: ${listed(tally.failed)}; ` +
      `the longest took ${(tally.longest / 1000).toFixed(1)} s\n${tally.failovers} stages replaced, ${tally.replayed} rows fed again\n` +
      `origin before and after: ${before.rss} -> ${after.rss} MiB, ${before.descriptors} -> ${after.descriptors} descriptors\n`,
  )
}

await main()
