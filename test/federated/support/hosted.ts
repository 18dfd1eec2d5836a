/** What a test and its processes with sites say to each other. */
import { identityOfSeed } from '../../../src/trust/index.ts'

/** What a test asks of it; the answer has the same number. */
export type HostCall = { readonly call: number; readonly at: number } & (
  | { readonly op: 'create'; readonly plan: object }
  | { readonly op: 'join'; readonly job: string; readonly data: string; readonly trainer: string }
  | { readonly op: 'start' | 'status' | 'events'; readonly job: string }
  | { readonly op: 'export'; readonly job: string; readonly out: string }
  | { readonly op: 'connected' | 'cpu' }
)

export type HostWord =
  | { readonly ready: true }
  | { readonly held: number }
  | { readonly call: number; readonly result?: unknown; readonly error?: string }

export interface HostInit {
  readonly folder: string
  readonly sites: readonly number[]
  /** Sites of all processes: where they are stands in the folder. */
  readonly members: number
  /** Whom the first of all jobs is made by: every site finds its offer there. */
  readonly author: number
  /** The kind of message before which every site here is held from its next round on, for good. */
  readonly hold?: string | undefined
}

/** The same for a process that is started again. */
export function identityAt(at: number): ReturnType<typeof identityOfSeed> {
  return identityOfSeed(new Uint8Array(32).fill(7).fill(at + 1, 0, 4))
}
