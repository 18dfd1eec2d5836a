/** For whom this home keeps backups, and how many bytes of each: said by a person, in a file of the home. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { needFolders, readSummedJson, summedJson, SumMismatchError, writeFileAtomic } from '../../store/index.ts'
import { isPeerId } from '../../trust/index.ts'
import type { HomePaths } from '../home.ts'
import { KeepingFileError } from './errors.ts'

const keepingSchema = z.strictObject({
  schema: z.literal('weft.backup-keeping/1'),
  /** Bytes, by PeerId. */
  peers: z.record(z.string().refine(isPeerId), z.number().int().min(1).max(Number.MAX_SAFE_INTEGER)),
})
type Keeping = z.infer<typeof keepingSchema>

type Places = Pick<HomePaths, 'root' | 'state'>

/** Folder of what is kept for a peer: a folder of backups like any other. */
export function keptFolder({ root }: Pick<HomePaths, 'root'>, peer: string): string {
  return join(root, 'backups', peer)
}

const fileOf = ({ state }: Pick<HomePaths, 'state'>): string => join(state, 'backup-keeping.json')

/** @throws KeepingFileError */
export async function readKeeping(places: Pick<HomePaths, 'state'>): Promise<ReadonlyMap<string, number>> {
  const path = fileOf(places)
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map()
    throw new KeepingFileError(path, (error as Error).message)
  }
  try {
    return new Map(Object.entries(keepingSchema.parse(readSummedJson(text)).peers))
  } catch (error) {
    const why = error instanceof SumMismatchError ? error.message : 'it is not what weft backup keep writes'
    throw new KeepingFileError(path, why)
  }
}

/** @param limit bytes; 0: nothing more is kept, and what is there stays. @throws KeepingFileError, DiskFullError */
export async function keepFor(places: Places, peer: string, limit: number): Promise<void> {
  const peers = new Map(await readKeeping(places))
  if (limit === 0) peers.delete(peer)
  else peers.set(peer, limit)
  const keeping: Keeping = { schema: 'weft.backup-keeping/1', peers: Object.fromEntries(peers) }
  await needFolders(places.state, 0o700)
  await writeFileAtomic(fileOf(places), summedJson(keeping), { mode: 0o600 })
}
