/** The audit log of a home, for commands that change it beside the running peer. */
import { join } from 'node:path'
import { auditCode } from '../peer/index.ts'
import {
  auditPlaces,
  identityOwner,
  KeyLockedError,
  loadOrCreateIdentity,
  openAuditLog,
  verify,
  WrongPassphraseError,
} from '../trust/index.ts'
import type { AuditEvent, AuditLog, Identity } from '../trust/index.ts'
import type { CommandContext } from './context.ts'
import { passphraseFromFile } from './passphrase.ts'
import { makeFolders } from '../store/index.ts'

/** Durable when it resolves. With a locked key it is written unsigned: the peer's next entry covers it. */
export async function recordEvent(context: CommandContext, event: AuditEvent): Promise<void> {
  const log = await openSiteLog(context)
  try {
    await log.record(event)
  } finally {
    log.close()
  }
}

/**
 * Runs what changes the home, and writes down that it was done, or with which code it was refused. The log is looked at
 * first: where nothing can be written down, nothing is changed. @param identity of a home whose key is open already
 */
export async function recorded<Result>(
  context: CommandContext,
  { what, target }: Pick<AuditEvent, 'what' | 'target'>,
  identity: Identity,
  action: () => Promise<Result>,
  targetOf: (result: Result) => string | undefined = () => target,
): Promise<Result> {
  const log = await openSiteLog(context, identity)
  const event = { who: 'owner', what, target } as const
  try {
    log.check()
    const result = await action().catch(async (error: unknown) => {
      await log.record({ ...event, result: 'failed', facts: { code: auditCode(error) } })
      throw error
    })
    await log.record({ ...event, target: targetOf(result), result: 'ok' })
    return result
  } finally {
    log.close()
  }
}

async function openSiteLog(context: CommandContext, open?: Identity): Promise<AuditLog> {
  const { home, io } = context
  const keys = join(home, 'keys')
  for (const folder of [home, keys, join(home, 'state')]) await makeFolders(folder, 0o700)
  const identity = open ?? (await unlocked(context, keys))
  const owner = identity?.id ?? (await identityOwner(keys)) ?? ''
  return openAuditLog(
    {
      clock: io.clock,
      random: io.random,
      signer: {
        sign: identity === null ? null : (bytes) => identity.sign(bytes),
        verify: (bytes, signature) => verify(owner, bytes, signature),
      },
      log: () => undefined,
    },
    auditPlaces(home),
  )
}

async function unlocked({ io, flags }: CommandContext, directory: string): Promise<Identity | null> {
  try {
    const passphrase = await passphraseFromFile(io.env, flags.text('passphrase-file'))
    return await loadOrCreateIdentity({ directory, passphrase })
  } catch (error) {
    // A backup's passphrase may be another one than that of the keys.
    if (error instanceof KeyLockedError || error instanceof WrongPassphraseError) return null
    throw error
  }
}
