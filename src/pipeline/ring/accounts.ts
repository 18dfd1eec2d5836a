/** A hop's answers to its origin's questions about rows that have passed. */
import { encodeControl } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import type { Hop } from './hop.ts'
import { NO_PAYLOAD } from './links.ts'
import { decodeAccount, RING } from './protocol.ts'
import type { Account, AccountQuery } from './protocol.ts'
import { DTYPE } from '../../net/index.ts'
import type { Witness } from './witness.ts'

/** A count of 0 says that the rows are not here. @throws KeptRowsError, FrameError */
export async function accountOf(hop: Hop, message: Frame): Promise<Frame> {
  const query = decodeAccount(message)
  const { witness } = hop
  const found = witness === undefined ? undefined : await answer(hop, witness, query)
  const { payload, ...account } = found ?? { position: query.position, count: 0, payload: undefined }
  const carried = payload === undefined ? NO_PAYLOAD : { dtype: DTYPE.bytes, dims: [payload.length], payload }
  return hop.frame({ type: RING.accounted, step: message.step, control: encodeControl({ ...account }), ...carried })
}

type Answer = Account & { readonly payload: Uint8Array }

async function answer(hop: Hop, witness: Witness, query: AccountQuery): Promise<Answer | undefined> {
  const { side, position, count } = query
  if (side === 'taken') {
    const payload = witness.taken(position, count)
    return payload === undefined ? undefined : { position, count, payload }
  }
  if (side === 'receipt') {
    const receipt = witness.receipt(position)
    const payload = receipt && witness.taken(receipt.position, receipt.count)
    return receipt && payload && { position: receipt.position, count: receipt.count, receipt, payload }
  }
  const hashes = witness.given(position, count)
  if (hashes === undefined) return undefined
  const payload = side === 'given' ? hashes : await rowsOf(hop, position, count)
  const seal = witness.seal(hop.request, hop.attempt, position, count)
  return payload === undefined ? undefined : { position, count, seal, payload }
}

async function rowsOf(hop: Hop, position: number, count: number): Promise<Uint8Array | undefined> {
  const pieces: Uint8Array[] = []
  let left = count
  for await (const chunk of hop.kept.from(position, count)) {
    const rows = Math.min(left, chunk.count)
    pieces.push(chunk.payload.subarray(0, (chunk.payload.length / chunk.count) * rows))
    left -= rows
    if (left === 0) break
  }
  return left === 0 ? Buffer.concat(pieces) : undefined
}
