/** The audit log of a home, for commands that change it beside the running peer. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  auditPlaces,
  identityOwner,
  KeyLockedError,
  loadOrCreateIdentity,
  openAuditLog,
  verify,
  WrongPassphraseError,
} from '../trust/index.ts'
import type { AuditEvent, Identity } from '../trust/index.ts'
import type { CommandContext } from './context.ts'
import { passphraseFromFile } from './passphrase.ts'

/** Durable when it resolves. With a locked key it is written unsigned: the peer's next entry covers it. */
export async function recordEvent(context: CommandContext, event: AuditEvent): Promise<void> {
  const { home, io } = context
  const keys = join(home, 'keys')
  for (const folder of [home, keys, join(home, 'state')]) await mkdir(folder, { recursive: true, mode: 0o700 })
  const identity = await unlocked(context, keys)
  const owner = identity?.id ?? (await identityOwner(keys)) ?? ''
  const log = openAuditLog(
    {
      clock: io.clock,
      signer: {
        sign: identity === null ? null : (bytes) => identity.sign(bytes),
        verify: (bytes, signature) => verify(owner, bytes, signature),
      },
      log: () => undefined,
    },
    auditPlaces(home),
  )
  await log.record(event)
  log.close()
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
