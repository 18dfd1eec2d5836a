/**
 * A peer that computes nothing: deterministic words instead of a model, so that the HTTP side is tested alone. All that
 * stands in for the real peer is in this one file.
 */
import type { ErrorInfo } from '../../src/errors.ts'
import { WeftError } from '../../src/errors.ts'
import type { ModelManifest } from '../../src/models/index.ts'
import { untraced } from './untraced.ts'
import type { KnownPeer, ModelSummary, NetCheck, Peer, PeerEvent, PeerStatus, Progress } from '../../src/peer/index.ts'
import type { GenerateEvent, GenerateRequest, GenerateStats } from '../../src/pipeline/index.ts'
import type { Telemetry } from '../../src/telemetry/index.ts'
import { planDocument } from '../../src/placement/index.ts'

export const MODEL = 'tiny:1m'
export const DIGEST = 'abcdef0123456789'.repeat(4)
/** Token i is word i; token 7 is half a character. */
export const WORDS = ['Hello', ' mesh', ',', ' wörld', ' \u{1f642}', ' and', ' so on', '\u{fffd}', '.', ' end']

export const MODEL_MISSING: ErrorInfo = {
  code: 'WEFT-MOD-404',
  title: 'No such model',
  meaning: '',
  remedy: 'weft ls',
  exit: 4,
  http: 404,
}
export const PEER_LOST: ErrorInfo = { ...MODEL_MISSING, code: 'WEFT-INF-503', title: 'Lost', exit: 7, http: 503 }

export class FakeError extends WeftError {
  constructor(info: ErrorInfo, message: string, details: Record<string, unknown> = {}) {
    super(info, message, { details, hint: 'a hint' })
  }
}

export interface FakePeer extends Peer {
  /** Tokens of each answer; fewer where `maxTokens` says so. */
  tokens: number
  /** Text of every token, where the words do not do. */
  word: string | null
  /** What the answer is, word by word, in place of `tokens` and `word`. */
  script: readonly string[] | null
  /** Waited for before the answer begins: a model that is loaded first. */
  loading: ((signal: AbortSignal) => Promise<void>) | null
  /** Waited for before each token. */
  hold: ((index: number, signal: AbortSignal) => Promise<void>) | null
  /** Token before which the answer fails. */
  failAt: number | null
  /** Nobody can take a lost stage at first, then a third peer does. */
  losesStage: boolean
  failure: unknown
  isReady: { ready: boolean; reasons: string[] }
  progressLines: number
  readonly requests: GenerateRequest[]
  readonly calls: string[]
  /** Signals that fired, and generators that were told to end or ended. */
  aborted: number
  ended: number
  produced: number
  emit(event: PeerEvent): void
  listeners(): number
}

export function createFakePeer(telemetry: Telemetry): FakePeer {
  const listeners = new Set<(event: PeerEvent) => void>()
  const peer: FakePeer = {
    id: '12D3KooWFake',
    home: '/nowhere',
    tokens: 6,
    word: null,
    script: null,
    loading: null,
    hold: null,
    failAt: null,
    losesStage: false,
    failure: new FakeError(PEER_LOST, 'peer lost in the middle'),
    isReady: { ready: true, reasons: [] },
    progressLines: 3,
    requests: [],
    backups: (call) => {
      const directory = 'directory' in call ? call.directory : ''
      return Promise.resolve({
        schema: 'weft.backup-carried/1',
        peer: call.peer,
        directory,
        carried: 0,
        files: 0,
        bytes: 0,
      })
    },
    federated: () => Promise.resolve({}),
    calls: [],
    aborted: 0,
    ended: 0,
    produced: 0,
    emit: (event) => {
      for (const listener of listeners) listener(event)
    },
    listeners: () => listeners.size,
    status: () => fakeStatus(),
    models: () => Promise.resolve([summary()]),
    manifest: (model) => (model === MODEL ? Promise.resolve(fakeManifest()) : Promise.reject(missing(model))),
    ...untraced,
    generate: (request, signal) => generate(peer, request, signal ?? new AbortController().signal),
    infer: (model) => Promise.reject(missing(model)),
    embed: (model, texts, options, signal) => {
      if (model !== MODEL) return Promise.reject(missing(model))
      if (texts[0] === 'wait') return new Promise((_, reject) => hangUntil(peer, signal, reject))
      const route = [{ peer: peer.id, pid: 1, from: 0, to: 4 }]
      const counters = { texts: texts.length, runs: texts.length, bytes_sent: 0, bytes_received: 0 }
      const vectors = texts.map((text) => Float32Array.from([text.length, 0.1, -2].slice(0, options?.dimensions ?? 3)))
      return Promise.resolve({ vectors, tokens: 3 * texts.length, route, stats: { load_ms: 0, run_ms: 1, counters } })
    },
    inferFiles: ({ model }) => Promise.reject(missing(model)),
    train: ({ plan }) => Promise.reject(missing(plan)),
    tokenize: (model, input) => {
      if (model !== MODEL) return Promise.reject(missing(model))
      return Promise.resolve({ ids: input.kind === 'ids' ? input.ids : [0, 1, 2] })
    },
    detokenize: (_model, ids) => Promise.resolve(ids.map((id) => WORDS[id % WORDS.length]).join('')),
    importModel: async (request, progress) => {
      peer.calls.push(`import ${request.source}`)
      for (let done = 1; done <= peer.progressLines; done += 1) progress?.(step(done))
      if (request.source === 'bad') throw new FakeError(MODEL_MISSING, 'no such source')
      return info(request.name ?? MODEL)
    },
    pinModel: async (model, pinned) => void peer.calls.push(`${pinned ? 'pin' : 'unpin'} ${model}`),
    removeModel: async (model, options) => {
      if (model !== MODEL) throw missing(model)
      peer.calls.push(`remove ${model}${options?.last === true ? ' last' : ''}`)
    },
    deploy: async (model, placement, progress) => {
      progress?.(step(1))
      if (model !== MODEL) throw missing(model)
      const stages = (typeof placement === 'object' ? placement.stages : undefined) ?? [
        { peer: peer.id, from: 0, to: 4 },
      ]
      return { schema: 'weft.placement/1', model, epoch: 1, author: peer.id, kind: 'hand', stages }
    },
    plan: async (model, { whatIf, ...asked } = {}) => {
      if (model !== MODEL) throw missing(model)
      const blocks = [{ kind: 'decoder', memory: 1, flops: 2, kv_bytes: 0 } as const]
      const peers = [{ id: peer.id, speed: 1, threads: 1, memory: 9, reserved: 0 }]
      const input = { blocks, peers, origin: peer.id, context: 8, concurrency: 1, objective: 'latency' } as const
      return planDocument({
        model,
        input: { ...input, ...asked },
        whatIf: whatIf ?? [],
        explain: asked.explain === true,
      })
    },
    undeploy: async (model) => void peer.calls.push(`undeploy ${model}`),
    ping: async function* ping(_target, options) {
      for (let seq = 0; seq < (options?.count ?? 2); seq += 1) yield { seq, ms: 0.5 }
    },
    netcheck: async (_options, progress) => {
      progress?.(step(1))
      return fakeNetcheck(peer.id)
    },
    approve: async (id, admit) => void peer.calls.push(`${admit ? 'approve' : 'deny'} ${id}`),
    trust: async (id) => peer.calls.push(`trust ${id}`) > 0,
    onEvent: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    metrics: () => telemetry.text(),
    ready: () => peer.isReady,
    stop: async (options) => void peer.calls.push(`stop ${options?.drain ?? 0}`),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
  return peer
}

function hangUntil(peer: FakePeer, signal: AbortSignal | undefined, reject: (error: unknown) => void): void {
  const end = (): void => {
    peer.aborted += 1
    reject(signal?.reason)
  }
  signal?.addEventListener('abort', end, { once: true })
}

async function* generate(peer: FakePeer, request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GenerateEvent> {
  peer.requests.push(request)
  signal.addEventListener('abort', () => (peer.aborted += 1), { once: true })
  try {
    if (request.model !== MODEL) throw missing(request.model)
    await peer.loading?.(signal)
    if (peer.failAt === -1) throw peer.failure
    const route = [
      { peer: peer.id, pid: 1, from: 0, to: 2 },
      { peer: '12D3KooWOther', pid: 2, from: 2, to: 4 },
    ]
    yield { type: 'start', prompt_ids: [0, 1, 2], route }
    yield { type: 'prefill', done: 3, total: 3 }
    if (peer.losesStage) {
      yield { type: 'waiting', code: PEER_LOST.code, message: 'nobody has taken the blocks' }
      const other = [route[0]!, { peer: '12D3KooWThird', pid: 3, from: 2, to: 4 }]
      yield { type: 'reroute', attempt: 1, lost: ['12D3KooWOther'], route: other, replayed_rows: 3, exact: true }
    }
    const all = peer.script?.length ?? peer.tokens
    const count = Math.min(all, request.maxTokens ?? Infinity)
    const ids: number[] = []
    let text = ''
    for (let index = 0; index < count; index += 1) {
      await peer.hold?.(index, signal)
      if (peer.failAt === index) throw peer.failure
      const id = index % WORDS.length
      const word = peer.script?.[index] ?? peer.word ?? WORDS[id] ?? ''
      ids.push(id)
      text += word
      peer.produced += 1
      // The second token is held back and comes with the end, as the beginning of a stop string would be.
      yield { type: 'token', id, text: index === count - 1 ? '' : word, ...logprobs(request, id) }
    }
    yield { type: 'end', finish: count < all ? 'length' : 'stop', text, ids, stats: stats(count) }
  } finally {
    peer.ended += 1
  }
}

function logprobs(request: GenerateRequest, id: number): { logprob?: number; top?: { id: number; logprob: number }[] } {
  if (request.logprobs === undefined) return {}
  const top = Array.from({ length: request.logprobs }, (_, rank) => ({ id: id + rank, logprob: -0.25 - rank }))
  return { logprob: id === 7 ? -Infinity : -0.25, top }
}

function missing(model: string): FakeError {
  return new FakeError(MODEL_MISSING, `no model ${model}`, { model })
}

function step(done: number): Progress {
  return { type: 'progress', task: 'fetching', done, total: 10, unit: 'bytes' }
}

function stats(tokens: number): GenerateStats {
  return {
    prefill_tokens: 3,
    cached_tokens: 2,
    decode_tokens: tokens,
    prefill_ms: 1,
    decode_ms: 2,
    time_to_first_token_ms: 1,
    ms_per_token_p50: 0.5,
    tokens_per_second: 2000,
    hop_ms_p50: 0.1,
    counters: { failovers: 0 },
  }
}

function summary(): ModelSummary {
  return {
    model: MODEL,
    digest: DIGEST,
    bytes: 4_000_000,
    blocks: 4,
    license: 'Apache-2.0',
    local: true,
    holders: ['12D3KooWFake'],
    covered: 4,
    available: true,
  }
}

function info(model: string): object & { schema: 'weft.model/1' } & Awaited<ReturnType<Peer['importModel']>> {
  return {
    schema: 'weft.model/1',
    model,
    digest: DIGEST,
    blocks: 4,
    bytes: 1,
    boundary: 'f16',
    license: 'MIT',
    source: 'x',
  }
}

function fakeNetcheck(peer: string): NetCheck {
  const bandwidth = { down: 1.1e8, up: 9e7, from: 'probe', age_s: 0 } as const
  const link = { path: 'direct', jitter_ms: 0.05, loss: 0, bandwidth } as const
  return {
    schema: 'weft.netcheck/1',
    peer,
    network: 'home',
    lan: 'open',
    interfaces: [
      { name: 'eth0', address: '192.0.2.1', used: true, why: 'network', heard: 1 },
      { name: 'docker0', address: '172.17.0.1', used: false, why: 'container bridge', heard: null },
    ],
    addresses: ['/ip4/192.0.2.1/tcp/7334/p2p/12D3KooWFake'],
    reachability: 'unknown',
    circuits: [],
    relaying: { reservations: 0, circuits: 0 },
    pairs: [
      {
        peer: '12D3KooWOther',
        name: 'mint-hare',
        rtt_ms: 0.42,
        ...link,
        probe: { rtt_ms: 0.4, down: 1.1e8, up: 9e7, bytes: 1_966_080, ms: 60, why: null },
      },
    ],
    seen_not_joined: 0,
    verdict: { state: 'good', text: '1 peer is connected, and nothing is in the way', advice: [] },
  }
}

export function fakeManifest(): ModelManifest {
  return {
    schema: 'weft.manifest/1',
    model: MODEL,
    digest: DIGEST,
    license: 'MIT',
    source: 'x',
    boundary: 'f16',
    tokenizer: { address: 'bafy', bytes: 1 },
    blocks: [],
    shape: {
      family: 'llama',
      layers: 2,
      width: 8,
      hidden: 8,
      heads: 1,
      kv_heads: 1,
      head_dim: 8,
      vocabulary: WORDS.length,
      context: 128,
      norm_epsilon: 1e-5,
      rope_base: 10_000,
      rope_dim: 8,
      rope_interleaved: true,
      rope_factors: [],
    },
  }
}

const profile = {
  platform: 'linux',
  arch: 'x64',
  cpu: 'test',
  cores: 2,
  memory_total: 8e9,
  memory_free: 4e9,
  memory_quota: 2e9,
  speed: 0,
  kernel: 'k',
}

const PREDICTED = { predicted_block_ms: 0.5, predicted_prefill_ms: 0.1, error: 0.3 }
const SPEED = { digest: DIGEST, block_ms: 0.6, prefill_ms: null, ...PREDICTED }
const measured = {
  memory_bandwidth: 1e10,
  thermal: { celsius: 79.2, limit_celsius: 80, limited: false },
  battery: { percent: 61, discharging: true },
  models: [{ ...SPEED, batch: [{ rows: 8, factor: 1.9 }] }],
}

function fakeStatus(): PeerStatus {
  const other: KnownPeer = {
    id: '12D3KooWOther',
    name: 'mint-hare',
    state: 'connected',
    addresses: ['/ip4/192.0.2.7/tcp/7000'],
    rtt_ms: 0.42,
    version: '0.1.0',
    profile: { ...profile, ...measured },
    models: [MODEL],
    link: {
      path: 'direct',
      jitter_ms: 0.05,
      loss: 0,
      clock_ahead_ms: 12,
      bandwidth: { down: 1.1e8, up: null, from: 'transfer', age_s: 9 },
    },
  }
  const stage = { model: MODEL, pid: 1, memory: 3e7, state: 'ready' } as const
  return {
    schema: 'weft.status/1',
    peer: {
      id: '12D3KooWFake',
      name: 'calm-otter',
      pid: 1,
      addresses: [],
      home: '/nowhere',
      network: 'home',
      lan: 'open',
      http: null,
      version: '0.1.0',
      uptime_s: 12,
      state: 'running',
      profile,
    },
    peers: [other],
    stages: [
      { ...stage, from: 0, to: 2, peer: '12D3KooWFake' },
      { ...stage, from: 2, to: 4, peer: other.id },
    ],
    drafts: [{ model: 'tiny:small', pid: 2, memory: 3e6, state: 'ready', answers: 1 }],
    transfers: [
      { transfer: 't1', model: MODEL, kind: 'fetch', done: 5e6, total: 2e7, rate: 1e6, holders: 3, age_ms: 5000 },
    ],
    disk: { quota: 1e10, pinned: [] },
    seen_not_joined: [
      {
        id: null,
        address: '/ip4/192.0.2.9/tcp/7000',
        code: 'WEFT-NET-010',
        why: 'it has another network key',
        hint: 'give it the key of this network',
        seen_at: '2026-01-01T00:00:00.000Z',
      },
    ],
    interfaces: [],
    models: [summary()],
    requests: [{ request: 'r1', model: MODEL, state: 'decode', prompt_tokens: 3, tokens: 2, age_ms: 40 }],
    counters: { failovers: 1, retries: 0 },
  }
}
