import { mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { makeFolders } from '../../src/store/index.ts'

let folder: string
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'weft-folders-'))))
afterEach(() => rm(folder, { recursive: true, force: true }))

describe('a folder and all above it', () => {
  it('is made once, with the mode that is wanted, also by several at once', async () => {
    const path = join(folder, 'a', 'b', 'c')
    const first = await Promise.all([1, 2, 3].map(() => makeFolders(path, 0o700)))
    expect(first).toContain(join(folder, 'a'))
    expect((await stat(join(folder, 'a'))).mode & 0o777).toBe(0o700)
    expect(await makeFolders(path, 0o755)).toBeUndefined()
    expect((await stat(path)).mode & 0o777).toBe(0o700)
    await symlink(path, join(folder, 'link'))
    expect(await makeFolders(join(folder, 'link', 'd'))).toBe(join(folder, 'link', 'd'))
  })

  it('is refused where a file is in the way', async () => {
    await writeFile(join(folder, 'file'), '')
    for (const path of [join(folder, 'file'), join(folder, 'file', 'x', 'y')])
      await expect(makeFolders(path)).rejects.toMatchObject({ code: 'ENOTDIR' })
  })

  it.runIf(existsSync('/proc/self'))('is refused, and not tried for ever, where none can be made', async () => {
    for (const path of ['/proc/weft', '/proc/weft/x', '/proc/self/weft/x'])
      await expect(makeFolders(path)).rejects.toMatchObject({ code: expect.stringMatching(/^E/) as string })
  })
})
