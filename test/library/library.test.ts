/** weft in a program, as interface.md section 4 promises it: real peers, all of them in this process. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createPeer, Token, WeftError } from '../../src/index.ts'
import type { Peer, PeerOptions } from '../../src/index.ts'
import { crossing, f32, write } from '../pipeline/graph/support/models.ts'
import { isWhole } from '../whole.ts'

const MODEL = 'weft-tiny'
const PROMPT = 'The captain looked at the sea and said that'
const BLOCKS = 8

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-library-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const home = (name: string): string => join(folder, name)
const alone = (name: string, more: PeerOptions = {}): Promise<Peer> =>
  createPeer({ home: home(name), offline: true, threads: 1, logLevel: 'warn', ...more })

async function text(peer: Peer, maxTokens = 8): Promise<string> {
  return (await peer.generate({ model: MODEL, prompt: PROMPT, maxTokens }).answer()).text
}

async function codeOf(action: () => unknown): Promise<string> {
  try {
    await action()
  } catch (error) {
    if (error instanceof WeftError) return error.code
    throw error
  }
  return 'no error'
}

describe('a peer with two threads', () => {
  test.runIf(isWhole)(
    'tries its steps with threads that sleep and threads that spin, and the text is that of one thread',
    async () => {
      await using one = await alone('one-thread')
      await using two = await alone('two-threads', { threads: 2 })
      expect(await text(two, 24)).toBe(await text(one, 24))
      expect(two.status().counters['spun_rows']).toBeGreaterThan(0)
      expect(one.status().counters['spun_rows']).toBe(0)
    },
  )
})

describe('training', () => {
  test('of a plan, by this peer as the one that shares its steps, says who computed what', async () => {
    await using peer = await alone('trainer')
    const rows = Array.from({ length: 40 }, (_, row) => `${row % 7},${row % 3},${row % 2}`)
    await writeFile(join(folder, 'rows.csv'), `a,b,c\n${rows.join('\n')}\n`)
    const plan = {
      schema: 'weft.train-plan/1',
      task: 'binary',
      data: { kind: 'csv', path: 'rows.csv' },
      target: { column: 'c' },
      model: { kind: 'linear' },
      optimizer: { kind: 'sgd', lr: 0.1 },
      epochs: 2,
      batch: 10,
      accumulate: 2,
    }
    const path = join(folder, 'rows.json')
    await writeFile(path, JSON.stringify(plan))
    const seen: number[] = []
    const onProgress = ({ done }: { readonly done: number }): void => void seen.push(done)
    const outcome = await peer.train({ plan: path, out: join(folder, 'rows'), peers: ['origin'], onProgress })
    expect(outcome.sharers).toEqual([{ peer: peer.id, shares: 8, kernel: expect.stringMatching(/^ort-/), threads: 1 }])
    expect([outcome.counters['micro_batches'], seen]).toEqual([8, [1, 2, 3, 4]])
    expect(await codeOf(() => peer.train({ plan: path, out: join(folder, 'other'), lines: [] }))).toBe('WEFT-CFG-012')
  })
})

describe('one peer', () => {
  let peer: Peer

  beforeAll(async () => {
    peer = await alone('one')
  })
  afterAll(() => peer.stop())

  test('fetches a model of the catalogue when it is first asked for, and streams tokens that are text', async () => {
    expect((await peer.models()).find((entry) => entry.model === MODEL)?.local).toBe(false)
    const generation = peer.generate({ model: MODEL, prompt: PROMPT, maxTokens: 12, logprobs: 2 })
    const tokens: Token[] = []
    for await (const token of generation) tokens.push(token)
    const answer = await generation.answer()
    expect(tokens.length).toBeGreaterThanOrEqual(12)
    expect(tokens.every((token) => token instanceof Token && String(token) === token.text)).toBe(true)
    expect(tokens.join('')).toBe(answer.text)
    expect(answer.ids).toHaveLength(12)
    expect(answer.finish).toBe('length')
    expect(answer.route).toEqual([expect.objectContaining({ peer: peer.id, from: 0, to: BLOCKS })])
    expect(tokens[0]!.top).toHaveLength(2)
    // Greedy: the token that was taken is the likeliest.
    expect(tokens[0]!.logprob).toBe(tokens[0]!.top![0]!.logprob)
    expect((await peer.models()).find((entry) => entry.model === MODEL)?.local).toBe(true)
  })

  test('gives the same text again, from ids, alone and beside another request', async () => {
    const first = await peer.generate({ model: MODEL, prompt: PROMPT, maxTokens: 12 }).answer()
    const again = await Promise.all([
      peer.generate({ model: MODEL, ids: first.promptIds, maxTokens: 12 }).answer(),
      peer.generate({ model: MODEL, prompt: PROMPT, maxTokens: 12, temperature: 1, seed: 3 }).answer(),
    ])
    expect(again[0].text).toBe(first.text)
    const seeded = { model: MODEL, prompt: PROMPT, maxTokens: 12, temperature: 1, seed: 3 }
    expect((await peer.generate(seeded).answer()).text).toBe(again[1].text)
  })

  test('ends the text before a stop string', async () => {
    const whole = await text(peer, 12)
    const stop = whole.slice(4, 9)
    const answer = await peer.generate({ model: MODEL, prompt: PROMPT, maxTokens: 12, stop }).answer()
    expect(answer).toMatchObject({ text: whole.slice(0, whole.indexOf(stop)), finish: 'stop' })
  })

  test('stops when its caller breaks off or aborts, and answers the next request', async () => {
    const abort = new AbortController()
    const run = async (): Promise<void> => {
      for await (const _ of peer.generate({ model: MODEL, prompt: PROMPT, signal: abort.signal })) abort.abort()
    }
    await expect(run()).rejects.toThrow()
    const generation = peer.generate({ model: MODEL, prompt: PROMPT })
    for await (const _ of generation) break
    expect(await codeOf(() => generation.answer())).toBe('WEFT-CFG-012')
    expect(peer.status().requests).toEqual([])
    expect(await text(peer)).not.toBe('')
  })

  test.each<[string, object]>([
    ['no prompt', {}],
    ['two prompts', { prompt: 'a', ids: [1] }],
    ['no token wanted', { prompt: 'a', maxTokens: 0 }],
    ['half a token wanted', { prompt: 'a', maxTokens: 1.5 }],
    ['a probability above one', { prompt: 'a', topP: 2 }],
    ['a temperature that is no number', { prompt: 'a', temperature: Number.NaN }],
    ['an empty stop string', { prompt: 'a', stop: '' }],
  ])('refuses %s with a code, before anything is started', async (_, options) => {
    expect(await codeOf(() => peer.generate({ model: MODEL, ...options }))).toBe('WEFT-CFG-012')
  })

  test('says with a code what does not exist', async () => {
    expect(await codeOf(() => peer.generate({ model: 'nobody', prompt: 'a' }).answer())).toBe('WEFT-MOD-050')
    expect(await codeOf(() => peer.infer(MODEL, {}))).toBe('WEFT-MOD-090')
  })

  test('runs any other model on tensors by name', async () => {
    await peer.importModel(await write(folder, 'crossing.onnx', crossing()))
    const [x, late] = [f32([2, 8]), f32([2, 8], 5)]
    const { outputs, route, stats } = await peer.infer('crossing', { x, late })
    expect(Object.keys(outputs)).toEqual(['y', 'early'])
    expect(outputs['y']).toMatchObject({ type: 'float32', dims: [2, 8] })
    expect(route).toMatchObject([{ peer: peer.id, from: 0 }])
    expect(stats.counters).toMatchObject({ runs: 1, parts_here: 1 })
    expect((await peer.infer('crossing', { x, late }, { placement: 'local' })).outputs).toEqual(outputs)
    expect(await codeOf(() => peer.infer('crossing', { x }))).toBe('WEFT-INF-100')
    const signal = AbortSignal.abort(new Error('no'))
    await expect(peer.infer('crossing', { x, late }, { signal })).rejects.toThrow('no')
  })

  test('shares its home with another that has no mesh, and keeps its identity', async () => {
    await using beside = await alone('one')
    expect(beside.id).toBe(peer.id)
    await using second = await alone('again')
    const { id } = second
    await second.stop()
    await using third = await alone('again')
    expect(third.id).toBe(id)
  })
})

test('the home is the one that weft takes everywhere when none is named', async () => {
  const before = process.env['WEFT_HOME']
  process.env['WEFT_HOME'] = home('from-environment')
  try {
    await using peer = await createPeer({ offline: true })
    expect(peer.home).toBe(home('from-environment'))
  } finally {
    if (before === undefined) delete process.env['WEFT_HOME']
    else process.env['WEFT_HOME'] = before
  }
})

test('peers in one process do not see each other', async () => {
  const many = isWhole ? 10 : 4
  const peers = await Promise.all(Array.from({ length: many }, (_, index) => alone(`of-many-${index}`)))
  try {
    const events: string[] = []
    for (const [index, peer] of peers.entries()) peer.onEvent(({ event }) => events.push(`${index} ${event}`))
    await text(peers[0]!, 2)
    expect(new Set(peers.map((peer) => peer.id)).size).toBe(many)
    for (const peer of peers.slice(1)) {
      const { models, peers: others, stages, counters } = peer.status()
      expect({ models, others, stages }).toEqual({ models: [], others: [], stages: [] })
      expect(Object.values(counters).every((count) => count === 0)).toBe(true)
    }
    expect(new Set(events.map((event) => event.split(' ')[0]))).toEqual(new Set(['0']))
  } finally {
    await Promise.all(peers.map((peer) => peer.stop()))
  }
})

test.runIf(isWhole)('two peers in one process divide a model, and the text is that of one', async () => {
  const mesh = { offline: false, lan: 'off', network: 'library-test', listen: ['/ip4/127.0.0.1/tcp/0'] } as const
  await using first = await alone('mesh-1', mesh)
  await using second = await alone('mesh-2', { ...mesh, bootstrap: first.status().peer.addresses })
  await first.importModel(MODEL)
  const whole = await first.generate({ model: MODEL, prompt: PROMPT, maxTokens: 8, placement: 'local' }).answer()
  while (first.status().peers.every((peer) => peer.state !== 'connected')) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const stages = [
    { peer: 'origin', from: 0, to: 1 },
    { peer: second.id, from: 1, to: 5 },
    { peer: first.id, from: 5, to: BLOCKS },
  ]
  await first.deploy(MODEL, { model: MODEL, stages })
  const split = await first.generate({ model: MODEL, prompt: PROMPT, maxTokens: 8 }).answer()
  expect(split.route.map(({ peer, from, to }) => [peer, from, to])).toEqual([
    [first.id, 0, 1],
    [second.id, 1, 5],
    [first.id, 5, BLOCKS],
  ])
  expect(split.ids).toEqual(whole.ids)
  // From the other one, the origin's part is computed there.
  const other = await second.generate({ model: MODEL, prompt: PROMPT, maxTokens: 8 }).answer()
  expect(other.route[0]!.peer).toBe(second.id)
  expect(other.ids).toEqual(whole.ids)
})
