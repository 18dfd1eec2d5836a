/** R5: a peer of the route becomes slow. It is left, by the answer under way too; and it counts again once it is well. */
import { execFileSync, spawn } from 'node:child_process'
import { answer, counter } from '../../test/integration/support.ts'
import type { RealPeer } from '../../test/integration/support.ts'
import { systemClock } from '../../src/util/index.ts'
import { casesOf, newTally, use } from '../support/cases.ts'
import type { Case, Tally } from '../support/cases.ts'
import { seeded } from '../support/random.ts'
import { createField, elapsedOr, MODEL, settled, spread, wholeAnswers } from './field.ts'
import type { Field } from './field.ts'
import type { Promised, Report } from './report.ts'

const clock = systemClock()
const LEAST_SHARE = 0.8
const BACK_MS = 10_000
const RESTORED_MS = 60_000
/** Embedding and head, and no layer. */
const ENDS = '3MB'
const FACTOR = 1.5

/** What makes a peer slow, and how to end it. */
type Slow = (field: Field, host: number, stage: number) => () => void

export const slow: Promised = {
  id: 'R5',
  title: 'a slow peer',
  async run(report, isShort) {
    await once(report, 'a processor of which the stage host gets a tenth', isShort ? 8_000 : 20_000, throttle)
    if (!isShort) await once(report, 'tc tbf, 1 Mbit/s', 20_000, shape)
  },
}

async function once(report: Report, what: string, ms: number, begin: Slow): Promise<void> {
  const field = await createField(3, ['--rtt', '2'])
  try {
    const [a, b, c] = await Promise.all([
      field.start('a', 1, ['--memory', ENDS]),
      field.start('b', 2),
      field.start('c', 3),
    ])
    const peers = [a, b, c]
    await spread(b, [c])
    const more = { speculate: 'off' } as const
    const cases = await casesOf(b, { model: MODEL, random: seeded(5), rows: [32, 64], tokens: [300, 400], more })
    const rates = new Map<string, number>()
    for (const peer of [b, c]) {
      await spread(a, [peer])
      rates.set(peer.id, await rateOf(a, cases, ms))
    }
    await a.access.deploy(MODEL, 'latency', () => undefined)
    const counted = new Map([
      [b.id, await predicted(a, c)],
      [c.id, await predicted(a, b)],
    ])
    const tally = newTally()
    const started = clock.now()
    const user = use(a, cases, tally, started + ms + BACK_MS + ms, seeded(5))
    await clock.sleep(ms)
    // Both are measured: whichever stands by now is the one that becomes slow.
    const isB = (await stagesOf(a))[1]!.peer === b.id
    const [sick, other, host] = isB ? ([b, c, 2] as const) : ([c, b, 3] as const)
    const { stages: hosts } = await sick.access.status()
    const end = begin(field, host, hosts.find(({ peer, state }) => peer === sick.id && state === 'ready')!.pid)
    const slowAt = clock.now()
    try {
      const held = await whyHeld(a, BACK_MS + ms)
      await user
      report.inject(what)
      const without = rates.get(other.id)!
      const first = within(tally, slowAt, slowAt + 2_000)
      const share = within(tally, slowAt + BACK_MS, clock.now()) / without
      report.measure(
        `${within(tally, started, slowAt).toFixed(0)} tokens/s before, ${first.toFixed(0)} in the first 2 s, ${without.toFixed(0)} without it`,
      )
      report.atLeast('10 s later, of the route without it', share, LEAST_SHARE, 'of it')
      wholeAnswers(report, tally)
      const stages = await stagesOf(a)
      report.measure(
        `${await sum(peers, 'replans')} decisions, ${await counter(a, 'hand_overs')} stages handed over in mid-answer`,
      )
      report.measure(`of the placement: ${held.join(', ')}`)
      const isLeft = stages.every(({ peer }) => peer !== sick.id)
      report.measure(isLeft ? 'it was left' : 'it was not left')
      // A line at that rate may be enough for one reader.
      if (begin === throttle) report.hold('the slow peer was left', isLeft)
      if (isLeft) await recovers(report, a, other, counted.get(sick.id)!, end)
    } finally {
      end()
    }
    await settled(report, peers, new Map())
  } finally {
    await field.stop()
  }
}

/** From its recovery until plans count with it as they did. */
async function recovers(report: Report, a: RealPeer, other: RealPeer, before: number, end: () => void): Promise<void> {
  const slowMs = await predicted(a, other)
  const probes = await counter(a, 'speed_probes')
  report.measure(
    `a token over it, as plans count: ${before.toFixed(1)} ms before, ${slowMs.toFixed(1)} ms while it was slow`,
  )
  report.hold('it was demoted: plans count it as slow', slowMs > before * FACTOR)
  end()
  const isWell = async (): Promise<boolean> => {
    await clock.sleep(500)
    return (await predicted(a, other)) <= before * FACTOR
  }
  const restored = await elapsedOr('it counts as before', isWell, 2 * RESTORED_MS)
  report.atMost('until it counts again as before', restored / 1000, RESTORED_MS / 1000, 's')
  report.hold('it was looked at for that', (await counter(a, 'speed_probes')) > probes)
}

/** What became of the placement meanwhile, each once. */
async function whyHeld(origin: RealPeer, ms: number): Promise<string[]> {
  const seen: string[] = []
  const started = clock.now()
  while (clock.now() - started < ms) {
    const { placements = [] } = await origin.access.status()
    const replan = placements.find(({ model }) => model === MODEL)?.replan
    const now = replan?.held_by ?? replan?.action ?? 'gone'
    if (seen.at(-1)?.startsWith(`${now} `) !== true)
      seen.push(
        `${now} at ${((clock.now() - started) / 1000).toFixed(1)} s (${replan?.gain?.toFixed(2)}, ${replan?.now_ms?.toFixed(1)} ms)`,
      )
    await clock.sleep(250)
  }
  return seen
}

async function stagesOf(peer: RealPeer): Promise<readonly { readonly peer: string }[]> {
  return (await peer.access.status()).placements?.find(({ model }) => model === MODEL)?.stages ?? []
}

/** Milliseconds of a token where this peer is not there. */
async function predicted(origin: RealPeer, without: RealPeer): Promise<number> {
  const { prediction } = await origin.access.plan(MODEL, { whatIf: [`remove:${without.id}`] })
  return prediction?.ms_per_token ?? Infinity
}

async function rateOf(origin: RealPeer, cases: readonly Case[], ms: number): Promise<number> {
  const { error } = await answer(origin, cases[0]!.request)
  if (error !== undefined) throw error
  const tally = newTally()
  const started = clock.now()
  await use(origin, cases, tally, started + ms, seeded(5))
  return within(tally, started, clock.now())
}

/** Tokens a second. */
function within({ at }: Tally, from: number, to: number): number {
  return (at.filter((ms) => ms >= from && ms < to).length * 1000) / (to - from)
}

async function sum(peers: readonly RealPeer[], name: string): Promise<number> {
  const counts = await Promise.all(peers.map((peer) => counter(peer, name)))
  return counts.reduce((all, count) => all + count, 0)
}

const TURNS = `
  const pid = Number(process.argv[1])
  const turn = (signal, ms) => {
    process.kill(pid, signal)
    setTimeout(() => turn(signal === 'SIGSTOP' ? 'SIGCONT' : 'SIGSTOP', signal === 'SIGSTOP' ? 10 : 90), ms)
  }
  turn('SIGSTOP', 90)
`

/** It runs and stands still by turns of 10 and 90 ms, as under a quota of the scheduler. */
function throttle(_field: Field, _host: number, stage: number): () => void {
  const child = spawn(process.execPath, ['-e', TURNS, String(stage)], { stdio: 'ignore' })
  let ended = false
  return () => {
    if (ended) return
    ended = true
    child.kill('SIGKILL')
    child.once('exit', () => process.kill(stage, 'SIGCONT'))
  }
}

function shape(field: Field, host: number): () => void {
  const tc = (...args: string[]): void => {
    const [file = '', ...rest] = [...field.on(host), 'tc', 'qdisc', ...args]
    execFileSync(file, rest, { stdio: 'pipe' })
  }
  tc('add', 'dev', 'eth0', 'root', 'tbf', 'rate', '1mbit', 'burst', '32kbit', 'latency', '50ms')
  let ended = false
  return () => {
    if (ended) return
    ended = true
    tc('del', 'dev', 'eth0', 'root')
  }
}
