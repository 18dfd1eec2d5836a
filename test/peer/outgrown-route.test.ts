/** A text that outgrows its first context begins anew where it is by then, and is told of as one. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { createPeer } from '../../src/peer/index.ts'
import type { LocalPeer } from '../../src/peer/index.ts'
import { chunkRows } from '../../src/placement/index.ts'
import { GREEDY } from '../../src/pipeline/index.ts'
import type { GenerateEvent } from '../../src/pipeline/index.ts'
import { hubModel, TOKENIZER } from '../models/support/hub-models.ts'
import { writeHubFolder } from '../models/support/hub-writer.ts'

const MODEL = hubModel('phi3, longrope, three quarters rotated')
/** Of its configuration. */
const FIRST = 64
/** Rows of a short prompt that travel together over several stages. */
const CHUNK = chunkRows(FIRST)
const PROMPT = Array.from({ length: FIRST - 5 }, (_, at) => 3 + ((at * 7919) % 200))
/** Of which the first session gives so many. */
const [TOKENS, OF_FIRST] = [16, 6]
const WAIT = { timeout: 60_000, interval: 20 }

let folder: string
let a: LocalPeer
let b: LocalPeer

const start = (name: string, bootstrap: readonly string[]): Promise<LocalPeer> =>
  createPeer({
    home: join(folder, name),
    name,
    network: `outgrown-${folder.slice(-6)}`,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap,
    lan: 'off',
    threads: 1,
    logLevel: 'error',
  })

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-outgrown-'))
  a = await start('a', [])
  b = await start('b', a.status().peer.addresses)
  const source = writeHubFolder(join(folder, 'model'), { ...MODEL, tokenizer: TOKENIZER })
  await a.importModel({ source, name: 'phi', weights: 'f32' })
  await vi.waitFor(() => expect(a.status().peers).toMatchObject([{ state: 'connected' }]), WAIT)
  const last = (await a.manifest('phi')).blocks.length - 1
  const stages = [
    { peer: a.id, from: 0, to: 1 },
    { peer: b.id, from: 1, to: last },
    { peer: a.id, from: last, to: last + 1 },
  ]
  await a.deploy('phi', { model: 'phi', stages })
}, 120_000)

afterAll(async () => {
  await Promise.all([a, b].map((peer) => peer.stop({ drain: 0 })))
  await rm(folder, { recursive: true, force: true })
})

/** @param before of the row that does not fit the first context any more */
async function answer(before: () => Promise<unknown> = () => Promise.resolve()): Promise<GenerateEvent[]> {
  const events: GenerateEvent[] = []
  const input = { kind: 'ids', ids: PROMPT } as const
  let tokens = 0
  for await (const event of a.generate({
    model: 'phi',
    input,
    sampling: GREEDY,
    maxTokens: TOKENS,
    ignoreEnd: true,
    speculate: 'off',
  })) {
    events.push(event)
    if (event.type === 'token' && ++tokens === OF_FIRST) await before()
  }
  return events
}

const countersOf = (events: readonly GenerateEvent[]): Readonly<Record<string, number>> => {
  const end = events.at(-1)
  return end?.type === 'end' ? end.stats.counters : {}
}
const idsOf = (events: readonly GenerateEvent[]): readonly number[] =>
  events.flatMap((event) => (event.type === 'token' ? [event.id] : []))

let whole: readonly number[]

it('has one trace, from the first row of its prompt to its last', async () => {
  const events = await answer()
  whole = idsOf(events)
  expect(whole).toHaveLength(TOKENS)
  expect(countersOf(events)).toMatchObject({ texts_outgrown: 1, failovers: 0 })
  const rows = PROMPT.length + TOKENS - 1
  await vi.waitFor(() => expect(a.trace().steps.at(-1)!.position).toBe(rows - 1), WAIT)
  const { steps, attempts, prefill, decode } = a.trace()
  expect(attempts).toBe(2)
  expect(a.traces()).toHaveLength(1)
  // What the first session was given, the last token of which it did not need, and then all of that again; both in two chunks.
  const chunked = (all: number): number[][] => [
    [0, CHUNK],
    [CHUNK, all - CHUNK],
  ]
  const given = [
    ...Array.from({ length: OF_FIRST - 1 }, (_, at) => [PROMPT.length + at, 1]),
    ...chunked(PROMPT.length + OF_FIRST),
  ]
  expect(steps.slice(0, OF_FIRST + 3).map(({ position, rows: of }) => [position, of])).toEqual([
    ...chunked(PROMPT.length),
    ...given,
  ])
  expect(prefill).toMatchObject({ steps: 2, rows: PROMPT.length })
  expect(decode!.steps).toBe(TOKENS - 2)
  const begins = steps.map(({ begin_ms: ms }) => ms)
  expect(begins).toEqual(begins.toSorted((one, other) => one - other))
}, 60_000)

it('goes on where it went when a peer was lost, and does not ask that one again', async () => {
  const events = await answer(async () => {
    const { failovers = 0 } = a.status().counters
    await b.stop({ drain: 0 })
    await vi.waitFor(() => expect(a.status().counters['failovers']).toBe(failovers + 1), WAIT)
  })
  expect(idsOf(events)).toEqual(whole)
  expect(events.filter(({ type }) => type === 'reroute')).toHaveLength(1)
  expect(countersOf(events)).toMatchObject({ texts_outgrown: 1, failovers: 1 })
  await vi.waitFor(() => expect(a.trace().steps.at(-1)!.position).toBe(PROMPT.length + TOKENS - 2), WAIT)
  expect(new Set(a.trace().hops.map(({ peer }) => peer))).toEqual(new Set([a.id]))
}, 60_000)
