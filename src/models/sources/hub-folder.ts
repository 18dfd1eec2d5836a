/** The files of a hub's repository in a folder on this disk, each resumed where it stopped and verified. */
import { rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { availableBytes, DiskFullError, makeFolders } from '../../store/index.ts'
import { download, downloadKey } from './download.ts'
import type { DownloadNeeds } from './download.ts'
import type { HubFolder } from './hub.ts'
import { folderBytes } from './packages.ts'
import type { ProgressListener } from './progress.ts'
import { verifyFile } from './verify.ts'

/**
 * The folder; the caller removes it. Files are of one commit where the hub names it: what is left of another is another
 * folder.
 * @throws FetchError, ChecksumError, DiskFullError
 */
export async function downloadHubFolder(
  needs: DownloadNeeds,
  { files, headers }: HubFolder,
  source: string,
  onProgress: ProgressListener,
  signal: AbortSignal,
): Promise<string> {
  const folder = join(needs.downloads, `${downloadKey(files.map(({ url }) => url.href).join('\n'))}.folder`)
  await makeFolders(folder)
  const sizes = files.map(({ bytes }) => bytes)
  const total = sizes.every((bytes) => bytes !== undefined) ? sizes.reduce((sum, bytes) => sum + bytes, 0) : null
  if (total !== null) await checkRoom(folder, total)
  let before = 0
  for (const { bytes, file, sha256, url } of files) {
    const target = join(folder, file)
    if (file.includes('/')) await makeFolders(dirname(target))
    const told: ProgressListener = ({ done }) =>
      onProgress({ type: 'progress', task: `fetching ${source}`, done: before + done, total, unit: 'bytes' })
    await download(needs, { url, headers, source: `${source}:${file}`, target }, told, signal)
    try {
      await verifyFile(target, `${source}:${file}`, { bytes, sha256 }, signal)
    } catch (error) {
      signal.throwIfAborted()
      await rm(target, { force: true })
      throw error
    }
    before += (await stat(target)).size
  }
  return folder
}

/** @throws DiskFullError before anything comes, when it is plain that it cannot fit */
async function checkRoom(folder: string, total: number): Promise<void> {
  const free = await availableBytes(folder)
  const here = await folderBytes(folder)
  if (total - here > free) throw new DiskFullError(folder, total - here, free)
}
