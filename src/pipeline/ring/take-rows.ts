/** Rows that come from the hop before: only what continues the session is given to the stage host. */
import type { Frame } from '../../net/index.ts'
import { encodeControl } from '../../net/index.ts'
import { HOST, RUN } from '../host/protocol.ts'
import type { RunControl } from '../host/protocol.ts'
import { carried, openGuesses } from './guesses.ts'
import type { Hop } from './hop.ts'
import { forward } from './links.ts'
import type { Link } from './links.ts'
import { MAX_FRAME_ROWS } from './protocol.ts'

const OUT_OF_TURN = 'rows do not continue the session'
const OTHER_GUESSES = 'guesses that came with rows are not those of the origin'
const TOO_MANY = `a frame has more than ${MAX_FRAME_ROWS} rows`
const NOTHING = new Uint8Array(0)
const OTHER_DIGEST = 'rows do not match their running digest'

/**
 * What the host is given. `repeated`: this attempt has brought them before. Another text: why the session cannot go on with
 * what this neighbour sends. Undefined: nothing is taken in any more.
 */
export function takeRows(hop: Hop, from: Link, message: Frame): Frame | string | undefined {
  const count = message.dims[0] ?? 0
  const { position } = message
  if (count > MAX_FRAME_ROWS) {
    hop.deaf = true
    return TOO_MANY
  }
  const isBehind = position < hop.taken
  // An old frame that comes once more does not fit the running digest, and rewinds nothing.
  const mayRewind = (message.flags & RUN.rewind) !== 0 && hop.witness === undefined
  const rewinds = isBehind && mayRewind && hop.received.fits(message.payload, message.digest)
  // What this attempt has brought before is taken in once, however often it comes.
  if (!rewinds && isBehind && position + count <= hop.taken) return 'repeated'
  if (hop.deaf) return undefined
  hop.previous = from
  const guesses = guessesFor(hop, message)
  const isSound = hop.received.matches(message.payload, message.digest)
  const why = isSound ? refusal(hop, from, message, rewinds) : OTHER_DIGEST
  if (why !== undefined || guesses === undefined) {
    hop.deaf = true
    return why ?? OTHER_GUESSES
  }
  // What the host has of rows from here on never was.
  const flags = message.flags | (position < hop.given ? RUN.rewind : 0)
  hop.taken = hop.given = position + count
  const control = hop.next === undefined ? guesses : carried(message.control)
  return forward(message, { type: HOST.run, request: hop.local, hop: 0, flags, control })
}

/** For its host, what the tokens behind these rows are taken to be. Undefined: it is not for the head, or not of its origin. */
function guessesFor(hop: Hop, { control, position }: Frame): Uint8Array | undefined {
  if (hop.next !== undefined || hop.guessKey === undefined || control.length === 0) return NOTHING
  const opened = openGuesses(hop.guessKey, position, control)
  if (opened === undefined) return undefined
  const { ids: guesses, behind } = opened
  return encodeControl((behind === undefined ? { guesses } : { guesses, behind }) satisfies RunControl)
}

function refusal(hop: Hop, from: Link, message: Frame, rewinds: boolean): string | undefined {
  if (!rewinds && message.position !== hop.taken) return OUT_OF_TURN
  return hop.check?.refuses(from.peer, message) ?? hop.witness?.take(message, hop.sender)
}
