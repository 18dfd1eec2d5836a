/** Rows that come from the hop before: only what continues the session is given to the stage host. */
import type { Frame } from '../../net/index.ts'
import { HOST, RUN } from '../host/protocol.ts'
import type { Hop } from './hop.ts'
import { forward } from './links.ts'
import type { Link } from './links.ts'

const OUT_OF_TURN = 'rows do not continue the session'
const OTHER_DIGEST = 'rows do not match their running digest'

/**
 * What the host is given. `repeated`: this attempt has brought them before. Another text: why the session cannot go on with
 * what this neighbour sends. Undefined: nothing is taken in any more.
 */
export function takeRows(hop: Hop, from: Link, message: Frame): Frame | string | undefined {
  const count = message.dims[0] ?? 0
  const { position } = message
  const rewinds = (message.flags & RUN.rewind) !== 0 && position <= hop.taken && hop.witness === undefined
  // What this attempt has brought before is taken in once, however often it comes.
  if (!rewinds && position < hop.taken && position + count <= hop.taken) return 'repeated'
  if (hop.deaf) return undefined
  hop.previous = from
  const why = hop.received.matches(message.payload, message.digest) ? refusal(hop, message, rewinds) : OTHER_DIGEST
  if (why !== undefined) {
    hop.deaf = true
    return why
  }
  // What the host has of rows from here on never was.
  const flags = (message.flags & ~RUN.rewind) | (position < hop.given ? RUN.rewind : 0)
  hop.taken = hop.given = position + count
  return forward(message, { type: HOST.run, request: hop.local, hop: 0, flags })
}

function refusal(hop: Hop, message: Frame, rewinds: boolean): string | undefined {
  if (!rewinds && message.position !== hop.taken) return OUT_OF_TURN
  return hop.witness?.take(message, hop.sender)
}
