/** What a check of `weft doctor` finds. */
import type { PeerStatus } from '../../peer/index.ts'
import type { CliIo } from '../io.ts'

export interface Finding {
  /** Stable name of the check, for scripts. */
  readonly id: string
  readonly level: 'ok' | 'warn' | 'fail'
  readonly message: string
  /** The next thing to do; null where nothing is wrong. */
  readonly fix: string | null
}

export interface DoctorFacts {
  readonly home: string
  readonly io: CliIo
  readonly signal: AbortSignal
  /** Of the running peer; null where none runs. */
  readonly status: PeerStatus | null
}

export type Check = (facts: DoctorFacts) => Promise<readonly Finding[]>

export function ok(id: string, message: string): Finding {
  return { id, level: 'ok', message, fix: null }
}

export function warn(id: string, message: string, fix: string): Finding {
  return { id, level: 'warn', message, fix }
}

export function fail(id: string, message: string, fix: string): Finding {
  return { id, level: 'fail', message, fix }
}
