/**
 * weft as a library.
 *
 * ```ts
 * await using peer = await createPeer({ home })
 * for await (const event of peer.generate(request)) if (event.type === 'token') process.stdout.write(event.text)
 * ```
 */
export { WeftError } from './errors.ts'
export type { ErrorData, ErrorInfo } from './errors.ts'
export { createPeer } from './peer/index.ts'
export type { CreatePeerInit, ModelSummary, Peer, PeerEvent, PeerStatus, PlacementStatus } from './peer/index.ts'
export { GREEDY } from './pipeline/index.ts'
export type { GenerateEvent, GenerateRequest, GenerateStats, PlacementFile, SamplingOptions } from './pipeline/index.ts'
