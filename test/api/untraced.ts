/** Of a peer that computes nothing there is no trace. */
import type { Peer } from '../../src/peer/index.ts'
import { TraceMissingError } from '../../src/peer/trace-errors.ts'

export const untraced: Pick<Peer, 'trace' | 'traces'> = {
  trace: (request) => {
    throw new TraceMissingError(request)
  },
  traces: () => [],
}
