/**
 * R1, R3, R19: three stages with two holders each; one of them is killed, stands still, is cut off or leaves in the middle of an
 * answer, one after another, twenty times.
 */
import { endProcess, joined, until } from '../../test/integration/support.ts'
import type { RealPeer } from '../../test/integration/support.ts'
import { systemClock } from '../../src/util/index.ts'
import { askOne, casesOf, newTally, percentile } from '../support/cases.ts'
import type { Case, Tally } from '../support/cases.ts'
import { seeded } from '../support/random.ts'
import { createField, footprints, MODEL, seconds, settled, spread, wholeAnswers } from './field.ts'
import type { Field } from './field.ts'
import { stopped } from './processes.ts'
import type { Promised, Report } from './report.ts'

const clock = systemClock()
const NAMES = ['b', 'c', 'd', 'e', 'f', 'g'] as const
const STAGES = 3
const REQUESTS = 20
const FEW = 4
const NEXT_TOKEN_MS = 3_000
/** The longest that a loss may stay unseen before it is measured as never. */
const UNSEEN_MS = 30_000

/** What is done to a holder, and how it is undone. @returns who is there afterwards in its place */
interface Fault {
  readonly name: string
  inflict(field: Field, peer: RealPeer, host: number): () => Promise<RealPeer>
}

const killed = (name: string, signal: 'SIGKILL' | 'SIGTERM'): Fault => ({
  name,
  inflict: (field, peer, host) => {
    peer.child.kill(signal)
    return async () => {
      await endProcess(peer.child)
      return field.start(NAMES[host - 2]!, host)
    }
  },
})

const FROZEN: Fault = {
  name: 'all its processes stopped',
  inflict: (_, peer) => {
    const all = stopped(peer)
    return () => {
      for (const pid of all) process.kill(pid, 'SIGCONT')
      return Promise.resolve(peer)
    }
  },
}

const CUT: Fault = {
  name: 'cut off without a reset',
  inflict: (field, peer, host) => {
    field.netlab('link', String(host), '--rtt', '4', '--loss', '100')
    return () => {
      field.netlab('link', String(host), '--rtt', '4')
      return Promise.resolve(peer)
    }
  },
}

interface Held {
  readonly id: string
  readonly title: string
  readonly faults: readonly Fault[]
  /** Milliseconds until the origin knows, and of how many of the times. @default it is told before */
  readonly detect?: readonly [ms: number, share: number]
  /** Milliseconds until a peer that leaves has ended. */
  readonly left?: number
}

export const kills: Promised = promise({
  id: 'R1',
  title: 'a stage killed in mid-answer, with a second holder',
  faults: [killed('killed', 'SIGKILL')],
  detect: [1_000, 1],
})

export const freezes: Promised = promise({
  id: 'R3',
  title: 'a stage that stands still, or is cut off, with a second holder',
  faults: [FROZEN, CUT],
  detect: [2_500, 0.99],
})

export const leaves: Promised = promise({
  id: 'R19',
  title: 'a stage that leaves in mid-answer',
  faults: [killed('told to leave', 'SIGTERM')],
  left: 10_000,
})

interface Seen {
  readonly detected: number[]
  /** What a silence is made of, milliseconds each. */
  readonly parts: Parts[]
  /** The longest silence after a farewell, in tokens of that answer as they came before it. */
  readonly tokens: number[]
  /** From the fault to the first token after the longest silence since. */
  readonly pauses: number[]
  /** The same, less what the prompt of that answer took. */
  readonly beyond: number[]
  readonly left: number[]
  readonly replays: number[]
}

function newSeen(): Seen {
  return { detected: [], parts: [], tokens: [], pauses: [], beyond: [], left: [], replays: [] }
}

interface Parts {
  /** From the fault until the origin knows. */
  readonly known: number
  /** From then until somebody else is open and all hops have said what they have. */
  readonly open: number
  /** From then until the next token: what is fed again, and one step. */
  readonly fed: number
}

function promise(held: Held): Promised {
  return {
    id: held.id,
    title: held.title,
    async run(report, isShort) {
      const field = await createField(NAMES.length + 1, ['--rtt', '4'])
      try {
        const a = await field.start('a', 1)
        const peers = await Promise.all(NAMES.map((name, index) => field.start(name, index + 2)))
        await redeploy(a, peers)
        const random = seeded(Number(held.id.slice(1)))
        const more = { speculate: 'off' } as const
        const tokens = [120, 160] as const
        const cases = await casesOf(a, { model: MODEL, random, count: 4, rows: [16, 352], tokens, more })
        const before = footprints([a])
        const [tally, seen] = [newTally(), newSeen()]
        const count = isShort ? FEW : REQUESTS
        for (let round = 0; round < count; round++) {
          const fault = held.faults[round % held.faults.length]!
          await oneRound({ field, a, peers, held, fault, seen, tally, random }, cases[round % cases.length]!)
        }
        report.inject(
          `${count} times, at token 10 to 50 of an answer: ${held.faults.map(({ name }) => name).join(' or ')}`,
        )
        wholeAnswers(report, tally)
        tell(report, held, seen, tally, count)
        await settled(report, [a, ...peers], before)
      } finally {
        await field.stop()
      }
    },
  }
}

async function redeploy(a: RealPeer, peers: readonly RealPeer[]): Promise<void> {
  await spread(a, peers.slice(0, STAGES), peers.slice(STAGES))
}

interface Round {
  readonly field: Field
  readonly a: RealPeer
  readonly peers: RealPeer[]
  readonly held: Held
  readonly fault: Fault
  readonly seen: Seen
  readonly tally: Tally
  readonly random: () => number
}

async function oneRound({ field, a, peers, held, fault, seen, tally, random }: Round, asked: Case): Promise<void> {
  const [at, place] = [10 + Math.floor(random() * 40), Math.floor(random() * STAGES)]
  const victim = peers[place]!
  let undo: (() => Promise<RealPeer>) | undefined
  let known: Promise<number> | undefined
  let gone: Promise<number> | undefined
  const [before, times]: [number[], number[]] = [[], []]
  let began = 0
  let told: number | undefined
  const onToken = (count: number): void => {
    const all = count < at ? before : times
    all.push(clock.now())
    if (count !== at) return
    undo = fault.inflict(field, victim, place + 2)
    began = clock.now()
    if (held.detect !== undefined) known = knownAfter(a, victim, began)
    if (held.left !== undefined) gone = goneAfter(victim, began)
  }
  const askedAt = clock.now()
  const got = await askOne(a, asked, tally, onToken, ({ type }) => {
    if (type === 'reroute') told ??= clock.now()
  })
  const longest = Math.max(...gaps(times), 0)
  seen.pauses.push(longest)
  seen.beyond.push(Math.max(0, longest - ((before[0] ?? askedAt) - askedAt)))
  seen.tokens.push(longest / percentile(gaps(before), 0.5))
  seen.replays.push(got.reroutes.length)
  const next = told === undefined ? undefined : times.find((time) => time >= told!)
  if (known !== undefined) {
    const knownMs = await known
    seen.detected.push(knownMs)
    // A stage may be replaced before the origin counts its peer as gone: its neighbours tell of it.
    if (told !== undefined && next !== undefined) {
      const parts = { known: Math.min(knownMs, told - began), fed: next - told }
      seen.parts.push({ ...parts, open: told - began - parts.known })
    }
  }
  if (gone !== undefined) seen.left.push(await gone)
  if (undefined === undo) return
  peers[place] = await undo()
  await joined([a, ...peers])
  await redeploy(a, peers)
}

const precisely = (ms: number): string => (ms / 1000).toFixed(2)

function gaps(times: readonly number[]): number[] {
  return times.slice(1).map((time, index) => time - times[index]!)
}

/** Milliseconds until the origin does not take the peer for connected. */
async function knownAfter(a: RealPeer, { id }: RealPeer, began: number): Promise<number> {
  const isKnown = async (): Promise<boolean> =>
    !(await a.access.status()).peers.some((peer) => peer.id === id && peer.state === 'connected')
  const seen = await until('the loss is seen', isKnown, UNSEEN_MS).then(
    () => true,
    () => false,
  )
  return seen ? clock.now() - began : Infinity
}

async function goneAfter({ child }: RealPeer, began: number): Promise<number> {
  const isGone = (): boolean => child.exitCode !== null || child.signalCode !== null
  await until('it has left', isGone, UNSEEN_MS).catch(() => undefined)
  return isGone() ? clock.now() - began : Infinity
}

function tell(report: Report, held: Held, seen: Seen, tally: Tally, count: number): void {
  report.measure(`${tally.failovers} stages replaced, ${tally.replayed} rows fed again`)
  report.hold(
    'the way of a failover was taken each time',
    seen.replays.every((replays) => replays > 0),
  )
  report.hold(
    `nobody was replaced more than once for one fault: ${seen.replays.join(' ')}`,
    Math.max(...seen.replays) <= 1,
  )
  report.hold('a fault fired each time', seen.pauses.length === count)
  report.measure(
    `the longest silence after it, replay in it: ${precisely(percentile(seen.pauses, 0.5))} s (median), ${precisely(percentile(seen.pauses, 0.95))} (95th percentile)`,
  )
  const beyond = percentile(seen.beyond, 0.95) / 1000
  report.atMost('the same beyond what its prompt took (95th percentile)', beyond, NEXT_TOKEN_MS / 1000, 's')
  for (const share of seen.parts.length === 0 ? [] : [0.5, 0.95]) {
    const [known, open, fed] = (['known', 'open', 'fed'] as const).map((part) =>
      seconds(
        percentile(
          seen.parts.map((each) => each[part]),
          share,
        ),
      ),
    )
    report.measure(
      `of a silence (${share}): ${known} s until it is known, ${open} until another is open, ${fed} until the next token`,
    )
  }
  if (held.detect !== undefined) {
    const [ms, share] = held.detect
    report.measure(`known after ${(percentile(seen.detected, 0.5) / 1000).toFixed(2)} s (median)`)
    report.atMost('until the origin knows', percentile(seen.detected, share) / 1000, ms / 1000, 's')
  }
  if (held.left !== undefined) {
    const [middle, most] = [0.5, 1].map((share) => percentile(seen.tokens, share).toFixed(1))
    report.measure(
      `the longest silence after the farewell, in tokens as they came before: ${middle} (median), ${most} at most`,
    )
  }
  if (held.left !== undefined) report.atMost('until it has left', Math.max(...seen.left) / 1000, held.left / 1000, 's')
}
