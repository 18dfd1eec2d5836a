/** Requests whose answers are known, users that ask them again and again, and what came of it. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { answer, codeOf, greedy } from '../../test/integration/support.ts'
import type { Answer, RealPeer } from '../../test/integration/support.ts'
import { UnexpectedError } from '../../src/errors.ts'
import type { GenerateEvent, GenerateRequest } from '../../src/pipeline/index.ts'
import { systemClock } from '../../src/util/index.ts'

const clock = systemClock()
const MOST_OF_LINE = 1500

export interface Case {
  readonly request: GenerateRequest
  /** Tokens of the answer that one process gives. */
  readonly ids: string
}

export interface CasesInit {
  readonly model: string
  readonly random: () => number
  /** @default 6 */
  readonly count?: number
  /** Rows of the prompt, [least, most). @default [2, 202] */
  readonly rows?: readonly [number, number]
  /** [least, most) @default [40, 160] */
  readonly tokens?: readonly [number, number]
  /** Milliseconds. @default 60,000 */
  readonly deadline?: number
  readonly more?: Partial<GenerateRequest>
}

/** @param peer computes the answers by itself */
export async function casesOf(peer: RealPeer, init: CasesInit): Promise<readonly Case[]> {
  const { model, random, count = 6, rows = [2, 202], tokens = [40, 160], deadline = 60_000, more = {} } = init
  const between = ([least, most]: readonly [number, number]): number => least + Math.floor(random() * (most - least))
  const cases: Case[] = []
  for (let index = 0; index < count; index++) {
    const ids = Array.from({ length: between(rows) }, () => 300 + Math.floor(random() * 500))
    const sampling = { ...greedy(model, 1).sampling, temperature: index % 2, topK: 40, seed: index + 1 }
    const request = greedy(model, between(tokens), { input: { kind: 'ids', ids }, sampling, deadline, ...more })
    const { ids: expected, error } = await answer(peer, { ...request, placement: 'local' })
    if (error !== undefined) throw error
    cases.push({ request, ids: expected.join() })
  }
  return cases
}

export interface Tally {
  tokens: number
  exact: number
  different: number
  /** Whose tokens came twice, or not at all, beside what the end says of them. */
  torn: number
  /** Routes that were changed in mid-answer, and stages that were replaced for it. */
  reroutes: number
  failovers: number
  replayed: number
  /** Milliseconds. */
  longest: number
  /** Milliseconds from token to token, of all answers. */
  readonly pauses: number[]
  /** Milliseconds of the clock at which a token came. */
  readonly at: number[]
  readonly failed: Map<string, number>
  /** How each of those that failed came to it. */
  readonly ends: string[]
  readonly faults: Map<string, number>
}

export function newTally(): Tally {
  return {
    tokens: 0,
    exact: 0,
    different: 0,
    torn: 0,
    reroutes: 0,
    failovers: 0,
    replayed: 0,
    longest: 0,
    pauses: [],
    at: [],
    failed: new Map(),
    ends: [],
    faults: new Map(),
  }
}

/** Asks one, and counts what came of it. */
export async function askOne(
  origin: RealPeer,
  { request, ids }: Case,
  tally: Tally,
  onToken: (count: number) => void = () => undefined,
  onAny: (event: GenerateEvent) => void = () => undefined,
): Promise<Answer> {
  const started = clock.now()
  let last: number | undefined
  const told: string[] = []
  const tell = (what: string): unknown => told.push(`${what} at ${((clock.now() - started) / 1000).toFixed(1)} s`)
  const onEvent = (event: GenerateEvent): void => {
    onAny(event)
    if (event.type === 'reroute') tell(`attempt ${event.attempt} (${event.lost.length} lost)`)
    else if (event.type === 'waiting' || event.type === 'start') tell(event.type)
  }
  const takeToken = (count: number): void => {
    const now = clock.now()
    if (last !== undefined) tally.pauses.push(now - last)
    tally.at.push(now)
    last = now
    onToken(count)
  }
  const got = await answer(origin, request, takeToken, undefined, onEvent)
  tally.tokens += got.ids.length
  tally.longest = Math.max(tally.longest, clock.now() - started)
  tally.reroutes += got.reroutes.length
  tally.failovers += got.reroutes.reduce((sum, { lost }) => sum + lost.length, 0)
  tally.replayed += got.reroutes.reduce((sum, { replayed_rows }) => sum + replayed_rows, 0)
  if (got.error !== undefined) {
    add(tally.failed, codeOf(got.error))
    const silent = ((clock.now() - (last ?? started)) / 1000).toFixed(1)
    tell(`${await unforeseen(origin, got.error)} after ${got.ids.length} tokens and ${silent} s of silence`)
    tally.ends.push(told.join(', '))
  } else if (got.ids.join() === ids) tally.exact++
  else tally.different++
  if (got.end !== undefined && got.end.ids.join() !== got.ids.join()) tally.torn++
  return got
}

/** The code; of what nobody foresaw, what it says too, and what the peer wrote down of it last. */
async function unforeseen({ home }: RealPeer, error: unknown): Promise<string> {
  const code = codeOf(error)
  if (code !== UnexpectedError.info.code || !(error instanceof Error)) return code
  const lines = await readFile(join(home, 'logs', 'weft.log'), 'utf8').catch(() => '')
  const last = lines.split('\n').findLast((line) => line.includes('"err":'))
  return `${code} (${error.message}; ${last?.slice(0, MOST_OF_LINE) ?? 'its log says nothing'})`
}

/** A user: one answer after the other until then. */
export async function use(
  origin: RealPeer,
  cases: readonly Case[],
  tally: Tally,
  end: number,
  random: () => number,
): Promise<void> {
  while (clock.now() < end) await askOne(origin, cases[Math.floor(random() * cases.length)]!, tally)
}

/** Tokens a second since then. */
export function rate({ tokens }: Tally, since: number): number {
  return (tokens * 1000) / (clock.now() - since)
}

export function add(map: Map<string, number>, key: string): void {
  map.set(key, (map.get(key) ?? 0) + 1)
}

export function listed(map: ReadonlyMap<string, number>): string {
  return map.size === 0 ? 'none' : [...map].map(([name, count]) => `${name} ${count}`).join(', ')
}

/** @param share 0.5 for the median */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
