/** What each role may do. One table: enforcement asks it and nothing else. */
import type { Purpose, Role } from './types.ts'

const ALL: readonly Purpose[] = ['connect', 'membership']
const WORKS: readonly Purpose[] = [...ALL, 'relay', 'fetch', 'compute', 'stage']
const ASKS: readonly Purpose[] = [...ALL, 'fetch', 'compute', 'originate']
const FULL: readonly Purpose[] = [...WORKS, 'originate', 'place']

const TABLE: Readonly<Record<Role, ReadonlySet<string>>> = {
  admin: new Set<Purpose>([...FULL, 'federate', 'invite']),
  site: new Set<Purpose>([...FULL, 'federate']),
  member: new Set(FULL),
  guest: new Set(ASKS),
  device: new Set(WORKS),
}

/** False for a purpose that is not known here: what is new is refused until it is in the table. */
export function mayRole(role: Role, purpose: string): boolean {
  return TABLE[role].has(purpose)
}
