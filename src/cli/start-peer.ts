/** The seam between `weft up` and the composition root: a peer with its API on the socket and on HTTP. */
import type { Peer } from '../peer/index.ts'
import type { CommandContext } from './context.ts'
import { createPeer } from './peer-local.ts'
import type { CreatePeerInit } from './peer-local.ts'

/** Resolves when the peer listens, its socket answers, and what it was asked to serve can be served. */
export async function startPeer(_context: CommandContext, init: CreatePeerInit, signal: AbortSignal): Promise<Peer> {
  return createPeer(init, signal)
}
