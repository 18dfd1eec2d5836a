/**
 * What an outsider's test needs: to record, to hold and to change messages (docs/federated.md). Set by hidden options of
 * a command alone; nothing of it is there in normal operation.
 */
import type { Clock } from '../../util/index.ts'
import type { Filter } from '../rounds/collector.ts'

export interface TestHooks {
  readonly filter?: Filter | undefined
  readonly before?: ((stage: string) => Promise<void>) | undefined
}

export interface HookOptions {
  /** Milliseconds to wait before a message, by its stage. */
  readonly hold?: Readonly<Record<string, number>> | undefined
  /** A command line: each list of messages that the aggregator would send goes through it. */
  readonly filter?: string | undefined
  /** A folder that keeps each message. */
  readonly record?: string | undefined
}

export const NO_HOOKS: TestHooks = {}

export async function hooksOf(
  { clock }: { readonly clock: Clock },
  { hold }: HookOptions,
  before: TestHooks,
): Promise<TestHooks> {
  await Promise.resolve()
  const held = hold === undefined ? {} : { before: (stage: string) => clock.sleep(hold[stage] ?? 0) }
  return { ...before, ...held }
}
