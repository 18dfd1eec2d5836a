/** The running peer of a home, through the control API on its socket. */
import type { AnyManifest } from '../models/index.ts'
import type {
  BackupAnswer,
  ClusterOutcome,
  Embeddings,
  InferredFiles,
  ModelInfo,
  ModelSummary,
  NetCheck,
  PeerStatus,
  PingReply,
  PlacementStatus,
  Progress,
  RequestTrace,
  TraceEntry,
  TrainedOver,
} from '../peer/index.ts'
import type { PlanDocument } from '../placement/index.ts'
import type { GenerateEvent } from '../pipeline/index.ts'
import { PeerSilentError } from './errors.ts'
import type { PeerAccess } from './peer-access.ts'
import { createSocketClient } from './socket-client.ts'
import type { CallOptions, SocketClientInit, SocketClientNeeds } from './socket-client.ts'

export function createRemotePeer(needs: SocketClientNeeds, init: SocketClientInit): PeerAccess {
  const client = createSocketClient(needs, init)

  /** Progress lines until the line with the result. */
  async function resultOf(path: string, options: CallOptions, progress: (line: Progress) => void): Promise<unknown> {
    for await (const value of client.jsonLines('POST', path, options)) {
      const line = value as { type?: unknown; result?: unknown }
      if (line.type === 'progress') progress(value as Progress)
      else if (line.type === 'result') return line.result
    }
    throw new PeerSilentError(path, 'the answer ended without a result')
  }

  return {
    kind: 'running',
    async status(signal) {
      const status = await client.json('GET', '/api/v1/state', { signal })
      if ((status as { schema?: unknown } | null)?.schema !== 'weft.status/1') {
        throw new PeerSilentError('/api/v1/state', 'something else than weft listens on the socket')
      }
      return status as PeerStatus
    },
    async models(signal) {
      const answer = await client.json('GET', '/api/v1/models', { signal })
      const list = Array.isArray(answer) ? answer : (answer as { models?: unknown } | null)?.models
      if (!Array.isArray(list)) throw new PeerSilentError('/api/v1/models', 'it is no list')
      return list as ModelSummary[]
    },
    manifest: async (model, signal) => (await client.json('GET', modelPath(model), { signal })) as AnyManifest,
    trace: async (request = 'last', signal) =>
      (await client.json('GET', `/api/v1/traces/${encodeURIComponent(request)}`, { signal })) as RequestTrace,
    traces: async (signal) =>
      ((await client.json('GET', '/api/v1/traces', { signal })) as { traces: readonly TraceEntry[] }).traces,
    async *generate(request, signal) {
      // A command that has ended does not come back for its answer.
      const body = { ...request, resume_s: 0 }
      for await (const line of client.jsonLines('POST', '/api/v1/generate', { body, signal })) {
        yield line as GenerateEvent
      }
    },
    inferFiles: async (request, signal) =>
      (await client.json('POST', '/api/v1/infer', { body: request, signal, deadline: null })) as InferredFiles,
    train: async (request, progress, signal) =>
      (await resultOf('/api/v1/train', { body: request, signal }, progress)) as TrainedOver,
    async embed(model, input, options, signal) {
      const body = { model, input, encoding_format: 'base64', ...options }
      return embeddingsOf(await client.json('POST', '/v1/embeddings', { body, signal, deadline: null }))
    },
    tokenize: async (model, input, signal) =>
      (await client.json('POST', '/api/v1/tokenize', { body: { model, input }, signal })) as { ids: number[] },
    async detokenize(model, ids, signal) {
      const answer = await client.json('POST', '/api/v1/detokenize', { body: { model, ids }, signal })
      const text = typeof answer === 'string' ? answer : (answer as { text?: unknown } | null)?.text
      if (typeof text !== 'string') throw new PeerSilentError('/api/v1/detokenize', 'it is no text')
      return text
    },
    importModel: async (request, progress, signal) =>
      (await resultOf('/api/v1/import', { body: request, signal }, progress)) as ModelInfo,
    async removeModel(model, options, signal) {
      const query = options?.last === true ? '?last=true' : ''
      await client.json('DELETE', `${modelPath(model)}${query}`, { signal })
    },
    pinModel: async (model, pinned, signal) =>
      void (await client.json('POST', '/api/v1/pin', { body: { model, pinned }, signal })),
    async deploy(model, placement, progress, signal) {
      const body = placement === undefined ? { model } : { model, placement }
      return (await resultOf('/api/v1/deploy', { body, signal }, progress)) as PlacementStatus
    },
    undeploy: async (model, signal) =>
      void (await client.json('POST', '/api/v1/undeploy', { body: { model }, signal })),
    async plan(model, { whatIf, ...rest }, signal) {
      const body = { model, ...rest, what_if: whatIf }
      return (await client.json('POST', '/api/v1/plan', { body, signal, deadline: null })) as PlanDocument
    },
    async *ping(peer, options, signal) {
      for await (const line of client.jsonLines('POST', '/api/v1/ping', { body: { peer, ...options }, signal })) {
        yield line as PingReply
      }
    },
    netcheck: async (options, progress, signal) =>
      (await resultOf('/api/v1/netcheck', { body: options, signal }, progress)) as NetCheck,
    cluster: async (action, signal) =>
      (await client.json('POST', '/api/v1/cluster', { body: action, signal, deadline: null })) as ClusterOutcome,
    async approve(peer, admit, signal) {
      const path = `/api/v1/peers/${encodeURIComponent(peer)}/${admit ? 'approve' : 'deny'}`
      await client.json('POST', path, { body: {}, signal })
    },
    async trust(peer, signal) {
      const path = `/api/v1/peers/${encodeURIComponent(peer)}/trust`
      const { lifted } = (await client.json('POST', path, { body: {}, signal })) as { readonly lifted: boolean }
      return lifted
    },
    backups: async (call, signal) =>
      (await client.json('POST', '/api/v1/backups', { body: call, signal, deadline: null })) as BackupAnswer,
    federated: async (call, signal) =>
      (await client.json('POST', '/api/v1/fed', { body: call, signal, deadline: null })) as object,
    shutdown: async (drain, signal) =>
      void (await client.json('POST', '/api/v1/shutdown', { body: { drain_ms: drain }, signal })),
    close: () => Promise.resolve(),
  }
}

function modelPath(model: string): string {
  return `/api/v1/models/${encodeURIComponent(model)}`
}

interface EmbeddingsAnswer {
  readonly data: readonly { readonly embedding: string }[]
  readonly usage: { readonly prompt_tokens: number }
  readonly weft: Pick<Embeddings, 'route' | 'stats'>
}

function embeddingsOf(answer: unknown): Embeddings {
  const { data, usage, weft } = answer as EmbeddingsAnswer
  const vectors = data.map(({ embedding }) => {
    const bytes = Buffer.from(embedding, 'base64')
    return Float32Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(4 * index))
  })
  return { vectors, tokens: usage.prompt_tokens, ...weft }
}
