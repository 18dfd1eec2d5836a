/** The folder of a run: what lies in it, and that nothing half-made stays. */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { explainDisk, isProcessAlive, writeFileAtomic, makeFolders } from '../../store/index.ts'
import { HUB_FOLDER } from '../../models/index.ts'
import { RunFolderError, RunNotFoundError } from '../errors.ts'

export const RUN_FILES = {
  plan: 'plan.json',
  model: 'model.onnx',
  preprocessing: 'preprocessing.json',
  curve: 'curve.json',
  drawing: 'curve.svg',
  picture: 'curve.png',
  /** As the hub lays out a language model. */
  hub: HUB_FOLDER,
  result: 'result.json',
} as const

/** Graphs and rows of a run that is going on; removed when it ends, and before it goes on. */
const WORK = 'work'

/** In it: the process that works there. */
const OWNER = 'pid'
const WAIT = 'wait for it, or end it first'

/** Folders in which this process trains: a running peer does so for any number of commands. */
const OWN = new Set<string>()

export interface RunFolder {
  readonly path: string
  readonly work: string
  /** Is a run to be gone on with? */
  readonly isOld: boolean
  write(name: string, content: string | Uint8Array): Promise<void>
  /** Removes what is for work alone; all of it where nothing was written. */
  close(): Promise<void>
}

/** @throws RunFolderError, RunNotFoundError, StoreUnwritableError, DiskFullError */
export async function openRunFolder(path: string, resume: boolean): Promise<RunFolder> {
  const own = resolve(path)
  if (OWN.has(own)) throw new RunFolderError(path, `is being trained in by process ${process.pid}`, WAIT)
  OWN.add(own)
  try {
    return await opened(path, resume, () => OWN.delete(own))
  } catch (error) {
    OWN.delete(own)
    throw error
  }
}

async function opened(path: string, resume: boolean, left: () => void): Promise<RunFolder> {
  const names = await namesIn(path)
  const isOld = names?.includes(RUN_FILES.plan) === true
  // A run that was killed before it wrote its plan has left a folder for work, and is begun anew.
  const others = names?.filter((name) => name !== WORK && !name.endsWith('.tmp')) ?? []
  if (!resume && isOld) throw new RunFolderError(path, 'holds a run already')
  if (!isOld && others.length > 0) {
    throw new RunFolderError(path, 'is not empty, and holds no run', 'choose another folder with --out')
  }
  if (resume && names === undefined) throw new RunNotFoundError(path, 'holds no run', 'leave --resume out to begin one')
  const work = join(path, WORK)
  await checkFree(path, join(work, OWNER))
  await rm(work, { recursive: true, force: true })
  await makeFolders(path)
    .then(() => mkdir(work, { mode: 0o700 }))
    .catch(async (error: unknown) => {
      throw await explainDisk(error, path, 0)
    })
  await writeFileAtomic(join(work, OWNER), String(process.pid))
  await sweep(path)
  let isWritten = isOld
  return {
    path,
    work,
    isOld,
    async write(name, content) {
      await writeFileAtomic(join(path, name), content, { exported: true })
      isWritten = true
    },
    async close() {
      try {
        await rm(work, { recursive: true, force: true })
        if (!isWritten && (await namesIn(path))?.length === 0 && names === undefined)
          await rm(path, { recursive: true })
      } finally {
        left()
      }
    },
  }
}

/** Two processes in one folder would take each other's files away. @throws RunFolderError */
async function checkFree(path: string, owner: string): Promise<void> {
  const pid = Number(await readFile(owner, 'utf8').catch(() => ''))
  if (Number.isInteger(pid) && pid > 0 && pid !== process.pid && isProcessAlive(pid)) {
    throw new RunFolderError(path, `is being trained in by process ${pid}`, WAIT)
  }
}

async function namesIn(path: string): Promise<readonly string[] | undefined> {
  try {
    return await readdir(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    throw code === 'ENOTDIR' ? new RunFolderError(path, 'is no folder') : await explainDisk(error, path, 0)
  }
}

/** `.weft-<pid>-…`: a file that a process of weft has begun to write. */
const BEGUN = /^\.weft-(\d{1,10})-.*\.tmp$/

/** What a killed run was writing: the folder is one run's, so a dead writer comes back for nothing. */
async function sweep(path: string): Promise<void> {
  for (const name of await readdir(path)) {
    const writer = Number(BEGUN.exec(name)?.[1] ?? NaN)
    if (writer > 0 && writer !== process.pid && !isProcessAlive(writer)) await rm(join(path, name), { force: true })
  }
}
