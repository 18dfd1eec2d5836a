/** A peer inside this process, with no mesh around it: for work that needs none. */
import type { CreatePeerInit, Peer } from '../peer/index.ts'
import { NoClusterError } from '../trust/index.ts'
import type { PeerAccess } from './peer-access.ts'

/** What `weft up` makes of its options; `http` is the API's, which is not the peer's. */
export interface UpInit extends CreatePeerInit {
  /** Null: no HTTP; undefined: the usual port, or a free one. */
  readonly http?: { readonly host: string; readonly port: number } | null
  /** Further names that the Host header may have, with or without port. */
  readonly httpHosts?: readonly string[]
  /** Web origins that may call the API. */
  readonly cors?: readonly string[]
  /** Whether requests of streamed answers are kept on the disk, for clients that come back after a restart. */
  readonly journal?: boolean
}

export async function openLocalPeer(
  home: string,
  passphrase: string | undefined,
  signal?: AbortSignal,
): Promise<PeerAccess> {
  const { createPeer } = await import('../peer/index.ts')
  return localAccess(
    await createPeer({ home, offline: true, lan: 'off', ...(passphrase === undefined ? {} : { passphrase }) }, signal),
  )
}

export function localAccess(peer: Peer): PeerAccess {
  return {
    kind: 'local',
    status: () => Promise.resolve(peer.status()),
    models: () => peer.models(),
    manifest: (model) => peer.manifest(model),
    trace: async (request) => peer.trace(request),
    traces: async () => peer.traces(),
    generate: (request, signal) => peer.generate(request, signal),
    inferFiles: (request, signal) => peer.inferFiles(request, signal),
    train: (request, progress, signal) => peer.train(request, progress, signal),
    embed: (model, texts, options, signal) => peer.embed(model, texts, options, signal),
    tokenize: (model, input, signal) => peer.tokenize(model, input, signal),
    detokenize: (model, ids, signal) => peer.detokenize(model, ids, signal),
    importModel: (request, progress, signal) => peer.importModel(request, progress, signal),
    removeModel: (model, options, signal) => peer.removeModel(model, options, signal),
    pinModel: (model, pinned, signal) => peer.pinModel(model, pinned, signal),
    deploy: (model, placement, progress, signal) => peer.deploy(model, placement, progress, signal),
    undeploy: (model, signal) => peer.undeploy(model, signal),
    plan: (model, request, signal) => peer.plan(model, request, signal),
    ping: (id, options, signal) => peer.ping(id, options, signal),
    netcheck: (options, progress, signal) => peer.netcheck(options, progress, signal),
    cluster: (action) => {
      if (peer.cluster === undefined || peer.cluster === null) throw new NoClusterError(peer.home)
      return peer.cluster.run(action)
    },
    approve: (id, admit) => peer.approve(id, admit),
    trust: (id) => peer.trust(id),
    backups: (call, signal) => peer.backups(call, signal),
    federated: (call, signal) => peer.federated(call, signal),
    shutdown: (drain) => peer.stop({ drain }),
    close: () => peer.stop({ drain: 0 }),
  }
}
