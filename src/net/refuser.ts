/** Notes whom this peer does not join and why, for people and listeners; handshakes that failed are among them. */
import type { Logger, Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import { isCircuit, parseAddress } from './addresses.ts'
import { OtherNetworkError, OwnIdentityError } from './discovery-errors.ts'
import type { HandshakeNote } from './noise.ts'
import { createRefusalBook } from './refusals.ts'
import type { RefusalBook } from './refusals.ts'
import type { Refusal } from './types.ts'

interface RefuserNeeds {
  readonly clock: Clock
  readonly logger: Logger
  readonly telemetry?: Pick<Telemetry, 'count'> | undefined
  readonly self: string
  /** Nothing is noted any more. */
  stopping(): boolean
  tell(event: 'refused' | 'refusedAgain', refusal: Refusal): void
}

export interface Refuser {
  readonly book: RefusalBook
  refuse(peer: string | null, address: string | null, error: Error): void
  handshake(note: HandshakeNote): void
}

export function createRefuser(needs: RefuserNeeds): Refuser {
  const book = createRefusalBook({
    ...needs,
    tell(refusal) {
      needs.logger.warn({ ...refusal }, 'seen and not joined')
      needs.tell('refused', refusal)
    },
    again: (refusal) => needs.tell('refusedAgain', refusal),
  })
  const refuse: Refuser['refuse'] = (id, address, error) => {
    if (!needs.stopping()) book.add({ id, address }, error)
  }
  return {
    book,
    refuse,
    handshake(note) {
      // a relay has shown that both ends have the key: this is a circuit that was given up
      if (note.failure === 'other-network' && note.address !== null && isCircuit(note.address)) return
      const parsed = note.address === null ? undefined : parseAddress(note.address)
      const address = parsed?.plain ?? note.address
      if (note.failure === 'other-network')
        refuse(parsed?.peer ?? null, address, new OtherNetworkError(parsed?.peer ?? address ?? 'a peer'))
      else if (note.failure === 'own-identity') refuse(needs.self, address, new OwnIdentityError(needs.self))
    },
  }
}
