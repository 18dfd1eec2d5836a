/** Whom a peer admits to federations: members of its cluster that may, and of those, whom a file of its home names. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'

const rosterSchema = z.object({ schema: z.literal('weft.fed-roster/1'), peers: z.array(z.string()) })

export interface RosterNeeds {
  /** Folder of the state of the home. */
  readonly state: string
  readonly self: string
  /** The membership log; null: a mesh without one, in which everybody is a member. */
  readonly cluster: { readonly admits: (peer: string, purpose: string) => boolean } | null
}

/** Both are asked anew each time. A file that cannot be read, or is none, admits nobody. */
export function federationRoster({ state, self, cluster }: RosterNeeds): (peer: string) => boolean {
  const path = join(state, 'federated', 'roster.json')
  return (peer) => {
    if (cluster?.admits(peer, 'federate') === false) return false
    return peer === self || isInFile(path, peer)
  }
}

function isInFile(path: string, peer: string): boolean {
  try {
    return rosterSchema.parse(JSON.parse(readFileSync(path, 'utf8'))).peers.includes(peer)
  } catch (error) {
    return (error as { code?: string }).code === 'ENOENT'
  }
}
