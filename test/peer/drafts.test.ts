/** Which small model guesses for an answer of a peer, what it takes there, and who is refused. Real models and hosts, one process more each. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Drafts } from '../../src/peer/drafts.ts'
import { createPeer } from '../../src/peer/index.ts'
import { DraftHosts, GREEDY } from '../../src/pipeline/index.ts'
import type { GenerateRequest, Lane } from '../../src/pipeline/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { importModel } from '../../src/models/index.ts'
import { TINY, until } from '../integration/support.ts'
import { withLayers } from '../models/support/gguf-layers.ts'
import { writeGguf } from '../models/support/gguf-writer.ts'
import { tinyLlama } from '../models/support/tiny-llama.ts'

type LocalPeer = Awaited<ReturnType<typeof createPeer>>

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-drafts-'))
  await withLayers(TINY, join(folder, 'near.gguf'), [0, 1, 2, 3, 4])
  await withLayers(TINY, join(folder, 'small.gguf'), [2])
  await writeFile(join(folder, 'alien.gguf'), writeGguf(tinyLlama()))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

describe('of a peer', () => {
  let peer: LocalPeer

  const asked = async (
    more: Partial<GenerateRequest>,
  ): Promise<{ ids: readonly number[]; counters: Record<string, number> }> => {
    const request = {
      model: 'tiny',
      input: { kind: 'ids', ids: [960, 1504] },
      sampling: GREEDY,
      maxTokens: 40,
      ignoreEnd: true,
    } as const
    for await (const event of peer.generate({ ...request, placement: 'local', ...more }))
      if (event.type === 'end') return { ids: event.ids, counters: event.stats.counters }
    throw new Error('it did not end')
  }
  const why = async (more: Partial<GenerateRequest>): Promise<unknown> => {
    const error = await asked(more).then(
      () => undefined,
      (reason: unknown) => reason,
    )
    expect(error).toMatchObject({ info: { code: 'WEFT-INF-043', http: 400 } })
    return (error as { why: unknown }).why
  }

  const start = (memory?: number): Promise<LocalPeer> =>
    createPeer({ home: join(folder, 'home'), offline: true, threads: 1, logLevel: 'warn', ...(memory && { memory }) })

  beforeAll(async () => {
    peer = await start()
    for (const name of ['near', 'small', 'alien'])
      await peer.importModel({ source: join(folder, `${name}.gguf`), name, measure: 'never' }, () => undefined)
    await peer.importModel({ source: TINY, name: 'tiny', measure: 'never' }, () => undefined)
  }, 60_000)
  afterAll(() => peer.stop())

  it('is the one that is asked for, the one that is small enough, or none', async () => {
    const plain = await asked({ speculate: 'off', draft: 'near' })
    expect(plain.counters['draft_sessions']).toBe(0)
    for (const more of [{ draft: 'near' }, {}]) {
      const { ids, counters } = await asked({ speculate: 'draft', ...more })
      expect(ids).toEqual(plain.ids)
      expect(counters['draft_sessions']).toBe(1)
      expect(counters['draft_model_tokens']).toBeGreaterThan(0)
    }
    // Nobody has asked for it, and nothing of the answer is elsewhere.
    const lane: Lane = 'batch'
    for (const more of [{}, { draft: 'off' }, { draft: 'near', lane }]) {
      const { ids, counters } = await asked({ ...more })
      expect(ids).toEqual(plain.ids)
      expect(counters['draft_sessions']).toBe(0)
    }
  })

  it('is refused where it cannot guess for the model', async () => {
    expect(await why({ draft: 'alien' })).toContain('vocabulary')
    expect(await why({ draft: 'tiny' })).toContain('as much for a token')
    expect(await why({ draft: 'nobody' })).toContain('not fetched')
    expect(await why({ model: 'small', speculate: 'draft' })).toContain('none')
  })

  it('is refused where it does not fit beside the model, and counted where it does', async () => {
    const manifest = await peer.manifest('tiny')
    const bytes = (manifest.blocks as readonly { memory: number }[]).reduce((sum, { memory }) => sum + memory, 0)
    await peer.stop()
    peer = await start(Math.round(bytes * 1.5))
    expect(await why({ draft: 'near' })).toContain('memory')
    const { counters } = await asked({ draft: 'small', speculate: 'draft' })
    expect(counters['draft_model_tokens']).toBeGreaterThan(0)
  })
})

describe('one that the peer was told to take', () => {
  it('and that cannot guess is named in its log, once in a while, and keeps nobody from an answer', async () => {
    const clock = systemClock()
    const directory = join(folder, 'told')
    const store = await createBlobStore({ directory: join(directory, 'store') })
    const needs = { store, directory, downloads: join(directory, 'downloads'), clock }
    const manifest = await importModel(needs, { source: join(folder, 'small.gguf'), name: 'small' })
    const lines: unknown[] = []
    const nothing = { byDigest: () => undefined, named: () => undefined, list: () => [], hasBlocks: async () => false }
    const hosts = new DraftHosts({
      clock,
      storeDirectory: join(directory, 'store'),
      cacheDirectory: join(directory, 'cache'),
      threads: 1,
      memory: 1e9,
      taken: () => 0,
      model: () => Promise.reject(new Error('nobody asks')),
      fetch: () => Promise.resolve(),
      count: () => undefined,
    })
    const drafts = new Drafts({
      self: 'here',
      clock,
      library: { ...nothing, tokenizer: () => Promise.reject(new Error('nobody asks')) },
      store,
      hosts,
      usual: 'nowhere',
      loaded: () => 0,
      log: ({ err }: { err?: unknown }) => void lines.push((err as { info?: { code: string } }).info?.code),
    })
    const wishes = { draft: undefined, route: [{ peer: 'elsewhere', from: 0, to: manifest.blocks.length }] }
    const { signal } = new AbortController()
    for (let asked = 0; asked < 3; asked++) expect(await drafts.of(manifest, wishes, signal)).toBeUndefined()
    expect(lines).toEqual(['WEFT-INF-043'])
    await hosts.stop()
  })
})

describe('its hosts', () => {
  it('give their memory back to stages, and start again after a death', async () => {
    const clock = systemClock()
    const directory = join(folder, 'alone')
    const store = await createBlobStore({ directory: join(directory, 'store') })
    const needs = { store, directory, downloads: join(directory, 'downloads'), clock }
    const manifest = await importModel(needs, { source: join(folder, 'small.gguf'), name: 'small' })
    const path = join(directory, 'small.json')
    await writeFile(path, JSON.stringify(manifest))
    const counters: Record<string, number> = {}
    const hosts = new DraftHosts({
      clock,
      storeDirectory: join(directory, 'store'),
      cacheDirectory: join(directory, 'cache'),
      threads: 1,
      memory: 1e9,
      taken: () => 0,
      model: () => Promise.resolve({ manifest, path }),
      fetch: () => Promise.resolve(),
      count: (name, by = 1) => (counters[name] = (counters[name] ?? 0) + by),
    })
    const open = { from: 0, to: manifest.blocks.length, positions: 64, guessesFrom: 2, lane: 'batch' as const }
    const sampler = { sampling: GREEDY, logprobs: -1, history: [] }
    const init = { open: { ...open, sampler }, text: [960, 1504], vocabulary: manifest.shape.vocabulary }
    try {
      expect(hosts.open(manifest.digest, init)).toBeUndefined()
      await hosts.load(manifest)
      let draft = hosts.open(manifest.digest, init)!
      await until('it guesses', () => {
        // On a machine with too much to do a host may be taken for wedged.
        if (draft.isLost) draft = hosts.open(manifest.digest, init) ?? draft
        draft.guess((ahead) => ahead.length < 3)
        return draft.ahead.length === 3
      })
      const freed = counters['draft_sessions_freed'] ?? 0
      process.kill(hosts.loaded[0]!.pid, 'SIGKILL')
      await until('it is lost', () => draft.isOver)
      expect(counters['draft_sessions_freed']).toBe(freed + 1)
      await until('there is another host', () => hosts.open(manifest.digest, init) !== undefined)
      expect(hosts.weights).toBeGreaterThan(0)
      expect(hosts.giveBack(0)).toBe(0)
      await until('its memory is free', () => hosts.weights === 0 && hosts.loaded.length === 0)
      expect(hosts.open(manifest.digest, init)).toBeUndefined()
      await until('all sessions are freed', () => counters['draft_sessions'] === counters['draft_sessions_freed'])
    } finally {
      await hosts.stop()
    }
  }, 60_000)
})
