/** A peer inside this process, with no mesh around it: for work that needs none. */
import type { Peer } from '../peer/index.ts'
import type { PeerAccess } from './peer-access.ts'
import { loadFunction } from './rooms.ts'

/** The options of `createPeer` that the command line sets. */
export interface CreatePeerInit {
  readonly home: string
  readonly name?: string
  readonly listen?: readonly string[]
  readonly bootstrap?: readonly string[]
  readonly network?: string
  /** Path of the file that holds it. */
  readonly networkKey?: string
  readonly lan?: 'open' | 'confirm' | 'off'
  /** Bytes. */
  readonly memory?: number
  readonly threads?: number
  readonly http?: { readonly host: string; readonly port: number } | null
  /** No mesh: no listening, no dialling. Fetching a model that was asked for is still allowed. */
  readonly offline?: boolean
}

export async function createPeer(init: CreatePeerInit, signal?: AbortSignal): Promise<Peer> {
  const create = await loadFunction('peer', 'createPeer')
  return (await create(init, signal)) as Peer
}

export async function openLocalPeer(home: string, signal?: AbortSignal): Promise<PeerAccess> {
  return localAccess(await createPeer({ home, offline: true, lan: 'off', http: null }, signal))
}

export function localAccess(peer: Peer): PeerAccess {
  return {
    kind: 'local',
    status: () => Promise.resolve(peer.status()),
    models: () => peer.models(),
    manifest: (model) => peer.manifest(model),
    generate: (request, signal) => peer.generate(request, signal),
    tokenize: (model, input, signal) => peer.tokenize(model, input, signal),
    detokenize: (model, ids, signal) => peer.detokenize(model, ids, signal),
    importModel: (request, progress, signal) => peer.importModel(request, progress, signal),
    removeModel: (model, signal) => peer.removeModel(model, signal),
    deploy: (model, placement, progress, signal) => peer.deploy(model, placement, progress, signal),
    undeploy: (model, signal) => peer.undeploy(model, signal),
    ping: (id, options, signal) => peer.ping(id, options, signal),
    approve: (id, admit) => peer.approve(id, admit),
    shutdown: (drain) => peer.stop({ drain }),
    close: () => peer.stop({ drain: 0 }),
  }
}
