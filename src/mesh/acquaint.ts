/**
 * Dials peers that we know only from what others tell: who joined through one bootstrap peer must reach the rest. The
 * addresses are signed by the peer they lead to; its key is proven again when the connection is made.
 */
import type { Network } from '../net/index.ts'
import { MAX_LEARNT_ADDRESSES } from './limits.ts'
import type { Liveness } from './liveness.ts'
import type { RecordBook } from './record-book.ts'

export interface Acquaint {
  /** Looks through the profiles for peers that nobody dials yet. @param author of this one alone */
  look(author?: string): void
}

export function createAcquaint(network: Network, book: RecordBook, liveness: Liveness): Acquaint {
  const kept = new Set<string>()
  return {
    look(newcomer) {
      const one = newcomer === undefined ? undefined : book.find('profile', newcomer)
      const profiles = newcomer === undefined ? book.ofKind('profile') : one === undefined ? [] : [one]
      for (const { author, body } of profiles) {
        if (author === network.id || body.state === 'draining' || liveness.state(author) !== 'away') continue
        for (const address of [...body.addresses, ...(body.circuits ?? [])]) {
          if (!address.endsWith(`/p2p/${author}`) || kept.has(address)) continue
          if (kept.size >= MAX_LEARNT_ADDRESSES) return
          kept.add(address)
          network.keep(address)
        }
      }
    },
  }
}

/** Our own addresses as others can dial them: with our id at the end. */
export function dialable(network: Network): string[] {
  const suffix = `/p2p/${network.id}`
  return network.addresses().map((address) => (address.endsWith(suffix) ? address : `${address}${suffix}`))
}
