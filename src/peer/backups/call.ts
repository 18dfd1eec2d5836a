/** What the owner of this peer asks of it about backups on others. */
import * as z from 'zod'
import { fetchBackup, sendBackup } from './carry.ts'
import type { Carried, CarryNeeds } from './carry.ts'

const text = z.string().min(1).max(4096)

/** `directory` of this machine. */
export const backupCallSchema = z.strictObject({ do: z.enum(['send', 'fetch']), peer: text, directory: text })
export type BackupCall = z.infer<typeof backupCallSchema>

/** @throws OfflineError, BackupMissingError, what the keeper refuses with, ChannelClosedError */
export function callBackups(needs: CarryNeeds, call: BackupCall, signal?: AbortSignal): Promise<Carried> {
  return (call.do === 'send' ? sendBackup : fetchBackup)(needs, call.peer, call.directory, signal)
}
