/** What the owner of this peer asks of it about backups on others. */
import * as z from 'zod'
import { claimableVaults, claimBackup, fetchBackup, sendBackup } from './carry.ts'
import type { Carried, CarryNeeds, ClaimableVaults } from './carry.ts'
import { MAX_VAULTS, seedSchema, vaultSchema } from './protocol.ts'

const text = z.string().min(1).max(4096)
const keys = z.array(z.strictObject({ vault: vaultSchema, seed: seedSchema })).max(MAX_VAULTS)

/** `directory` of this machine. */
export const backupCallSchema = z.discriminatedUnion('do', [
  z.strictObject({ do: z.literal('send'), peer: text, directory: text }),
  z.strictObject({ do: z.literal('fetch'), peer: text, directory: text }),
  /** What there is to claim, of the identity that was lost or of all. */
  z.strictObject({ do: z.literal('vaults'), peer: text, of: z.string().max(64).optional() }),
  /** As fetch, of another identity: with keys that follow from the passphrase (`claimSeed`), and open nothing. */
  z.strictObject({ do: z.literal('claim'), peer: text, directory: text, keys }),
])
export type BackupCall = z.infer<typeof backupCallSchema>
export type BackupAnswer = Carried | ClaimableVaults

/** @throws OfflineError, BackupMissingError, what the keeper refuses with, ChannelClosedError */
export function callBackups(needs: CarryNeeds, call: BackupCall, signal?: AbortSignal): Promise<BackupAnswer> {
  switch (call.do) {
    case 'send':
      return sendBackup(needs, call.peer, call.directory, signal)
    case 'fetch':
      return fetchBackup(needs, call.peer, call.directory, signal)
    case 'vaults':
      return claimableVaults(needs, call.peer, call.of, signal)
    default:
      return claimBackup(needs, call, signal)
  }
}
