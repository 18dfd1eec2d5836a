/** Removes what killed imports left in the downloads folder; parts that can be continued stay for a while. */
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isProcessAlive } from '../../store/index.ts'
import type { Clock } from '../../util/index.ts'

const FETCH_FOLDER = /^fetch-(\d{1,10})-\w+$/
/** Files of a repository, some of them whole. */
const FOLDER = /^[0-9a-f]{24}\.folder$/
/** Downloads that can go on are kept for so long. */
const KEEP_DAYS = 7

export async function cleanDownloads(downloads: string, clock: Clock): Promise<void> {
  const names = await readdir(downloads).catch(() => [] as string[])
  for (const name of names) {
    const path = join(downloads, name)
    const pid = FETCH_FOLDER.exec(name)?.[1]
    const dead = pid !== undefined && Number(pid) !== process.pid && !isProcessAlive(Number(pid))
    const stats = await stat(path).catch(() => null)
    const kept = stats?.isFile() === true || FOLDER.test(name)
    const old = kept && stats !== null && clock.wall() - stats.mtimeMs > KEEP_DAYS * 86_400_000
    if (dead || old) await rm(path, { recursive: true, force: true })
  }
}
