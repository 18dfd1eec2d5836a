/** Decoder exports in ONNX answer like any language model: the same tokens whole and in parts, first and second time. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createOrtEngine } from '../../src/onnx/index.ts'
import type { AnyTensor } from '../../src/onnx/index.ts'
import { createPeer } from '../../src/peer/index.ts'
import type { LocalPeer } from '../../src/peer/index.ts'
import { GREEDY } from '../../src/pipeline/index.ts'
import type { GenerateEvent, GenerateRequest, PlacementFile } from '../../src/pipeline/index.ts'
import { inHalf, merged } from '../pipeline/graph/support/decoder-variants.ts'
import { CONTEXT, gpt2Like, groupedLike, llamaLike, writeDecoderFolder } from '../pipeline/graph/support/decoders.ts'
import { isWhole } from '../whole.ts'

const PROMPT = [1, 20, 33, 47, 5, 260, 281, 12, 99, 140, 7]
const TOKENS = 12
let folder: string
let peer: LocalPeer

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-decoder-'))
  peer = await createPeer({ home: join(folder, 'home'), offline: true, threads: 1, logLevel: 'error' })
  await peer.importModel({ source: await writeDecoderFolder(join(folder, 'llama'), llamaLike()), name: 'llama' })
}, 60_000)

afterAll(async () => {
  await peer.stop({ drain: 0 })
  await rm(folder, { recursive: true })
})

type End = GenerateEvent & { readonly type: 'end' }
interface Told {
  readonly events: readonly GenerateEvent[]
  readonly end: End
  readonly route: (GenerateEvent & { readonly type: 'start' })['route']
}

async function told(model: string, more: Partial<GenerateRequest> = {}, signal?: AbortSignal): Promise<Told> {
  const input = { kind: 'ids', ids: PROMPT } as const
  const request = { model, input, sampling: GREEDY, maxTokens: TOKENS, ignoreEnd: true, ...more }
  const events: GenerateEvent[] = []
  for await (const event of peer.generate(request, signal)) events.push(event)
  const [start] = events.filter((event) => event.type === 'start')
  const [end] = events.filter((event) => event.type === 'end')
  return { events, end: end!, route: start!.route }
}

async function halves(model: string): Promise<PlacementFile> {
  const count = (await peer.manifest(model)).blocks.length
  const half = Math.floor(count / 2)
  const stages = [
    { peer: 'origin', from: 0, to: half },
    { peer: 'origin', from: half, to: count },
  ]
  return { model, stages }
}

/** The whole text again for each token, without a cache. */
async function reference(name: string, caches: Readonly<Record<string, readonly number[]>>): Promise<number[]> {
  const path = join(folder, name, 'onnx', 'model.onnx')
  const graph = await createOrtEngine().load(path, { threads: 1, optimization: 'all' })
  const empty = Object.entries(caches).map(([input, dims]): [string, AnyTensor] => [
    input,
    { type: 'float32', dims, data: new Float32Array(0) },
  ])
  const ids = [...PROMPT]
  const whole = (values: readonly number[]): AnyTensor => ({
    type: 'int64',
    dims: [1, values.length],
    data: BigInt64Array.from(values, BigInt),
  })
  while (ids.length < PROMPT.length + TOKENS) {
    const feeds: Record<string, AnyTensor> = { input_ids: whole(ids), attention_mask: whole(ids.map(() => 1)) }
    if (name !== 'grouped') feeds['position_ids'] = whole(ids.map((_, at) => at))
    const { logits } = await graph.runAny({ ...feeds, ...Object.fromEntries(empty) }, ['logits'])
    const row = (logits!.data as Float32Array).subarray(-logits!.dims.at(-1)!)
    ids.push(row.indexOf(Math.max(...row)))
  }
  await graph.release()
  return ids.slice(PROMPT.length)
}

const pairs = (layers: number): Record<string, readonly number[]> =>
  Object.fromEntries(
    Array.from({ length: layers }, (_, layer) =>
      ['key', 'value'].map((kind) => [`past_key_values.${layer}.${kind}`, [1, 2, 0, 16]] as const),
    ).flat(),
  )

describe('a decoder export', () => {
  it('gives the tokens of a loop without a cache, again the second time, and in two parts', async () => {
    const ids = await reference('llama', pairs(2))
    const one = await told('llama')
    expect(one.end.ids).toEqual(ids)
    expect(one.end.finish).toBe('length')
    expect(one.end.stats).toMatchObject({ prefill_tokens: PROMPT.length, decode_tokens: TOKENS })
    expect(one.end.stats.counters).toMatchObject({ graph_runs: TOKENS, state_kept: 4 * TOKENS })
    const again = await told('llama')
    expect(again.end.ids).toEqual(ids)
    expect(again.route).toEqual(one.route)
    const placement = await halves('llama')
    const parts = await told('llama', { placement })
    expect(parts.end.ids).toEqual(ids)
    expect(parts.route.map(({ from, to }) => [from, to])).toEqual(placement.stages.map(({ from, to }) => [from, to]))
    expect(new Set(parts.route.map(({ pid }) => pid)).size).toBe(2)
    expect(parts.end.stats.counters).toMatchObject({ graph_runs: 2 * TOKENS, state_kept: 4 * TOKENS })
    // Neither caches nor logits cross: they alone would be 200,000 bytes.
    expect(parts.end.stats.counters['boundary_bytes']).toBeLessThan(70_000)
  }, 60_000)

  it.runIf(isWhole)(
    'in float16, and with a branch for the first step, is imported at once and answers as well',
    async () => {
      const half = await writeDecoderFolder(join(folder, 'half'), inHalf(llamaLike(1)))
      await peer.importModel({ source: half, name: 'half' })
      const [one, parts] = [await told('half'), await told('half', { placement: await halves('half') })]
      expect(parts.end.ids).toEqual(one.end.ids)
      expect(parts.end.stats.counters).toMatchObject({ graph_runs: 2 * TOKENS, state_kept: 2 * TOKENS })
      const branches = await writeDecoderFolder(join(folder, 'merged'), merged(llamaLike()))
      await peer.importModel({ source: branches, name: 'merged' })
      expect((await told('merged')).end.ids).toEqual((await told('llama')).end.ids)
    },
    60_000,
  )

  it('samples by a seed, reports log-probabilities, and keeps sessions apart', async () => {
    const sampling = { ...GREEDY, temperature: 1.5, topK: 40, seed: 7 }
    const [first, second, other, greedy] = await Promise.all([
      told('llama', { sampling, logprobs: 2 }),
      told('llama', { sampling, logprobs: 2 }),
      told('llama', { sampling: { ...sampling, seed: 8 } }),
      told('llama'),
    ])
    expect(second.end.ids).toEqual(first.end.ids)
    expect(other.end.ids).not.toEqual(first.end.ids)
    expect(greedy.end.ids).toEqual((await told('llama')).end.ids)
    expect((await told('llama', { sampling, placement: await halves('llama') })).end.ids).toEqual(first.end.ids)
    const tokens = first.events.filter((event) => event.type === 'token')
    expect(tokens).toHaveLength(TOKENS)
    for (const { logprob, top } of tokens) {
      expect(logprob).toBeLessThanOrEqual(0)
      expect(top).toHaveLength(2)
    }
    const likely = tokens.filter(({ id, top }) => id === top![0]!.id)
    expect(likely).not.toEqual([])
    for (const { logprob, top } of likely) expect(logprob).toBe(top![0]!.logprob)
  }, 60_000)

  it('ends at a stop string, at the end of the context, and when nobody listens any more', async () => {
    const all = await told('llama')
    const stop = all.end.text.slice(4, 6)
    const stopped = await told('llama', { stop: [stop] })
    expect(stopped.end).toMatchObject({ finish: 'stop', text: all.end.text.slice(0, all.end.text.indexOf(stop)) })
    const full = await told('llama', { maxTokens: 10 * CONTEXT })
    expect(full.end.ids).toHaveLength(CONTEXT - PROMPT.length)
    expect(full.end.ids.slice(0, TOKENS)).toEqual(all.end.ids)
    const long = { kind: 'ids', ids: Array.from({ length: CONTEXT }, () => 5) } as const
    await expect(told('llama', { input: long })).rejects.toMatchObject({ code: 'WEFT-INF-041' })
    await expect(told('llama', { input: { kind: 'ids', ids: [] } })).rejects.toMatchObject({ code: 'WEFT-INF-040' })
    const abort = new AbortController()
    const request = { model: 'llama', input: { kind: 'ids', ids: PROMPT }, sampling: GREEDY, ignoreEnd: true } as const
    const cut = async (): Promise<void> => {
      for await (const event of peer.generate(request, abort.signal)) {
        if (event.type === 'token') abort.abort(new Error('enough'))
      }
    }
    await expect(cut()).rejects.toThrow('enough')
    await vi.waitFor(() => {
      const { parts_opened: opened, parts_freed: freed, cancelled_sessions: ended } = peer.status().counters
      expect(freed).toBe(opened)
      expect(ended).toBeGreaterThan(0)
    })
    expect((await told('llama')).end.ids).toEqual(all.end.ids)
  }, 60_000)

  it.each([
    ['grouped', () => groupedLike(1), pairs(1)],
    ...(isWhole
      ? ([['gpt2', () => gpt2Like(2), { past_0: [2, 1, 4, 0, 16], past_1: [2, 1, 4, 0, 16] }]] as const)
      : []),
  ] as const)(
    'of another layout: %s',
    async (name, made, caches) => {
      await peer.importModel({ source: await writeDecoderFolder(join(folder, name), made()), name })
      expect((await told(name)).end.ids).toEqual(await reference(name, caches))
    },
    60_000,
  )
})
