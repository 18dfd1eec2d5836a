/** Where an example's models and inputs are: a path that was named, ../shared/data beside this repository, or the web. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readFile, rename } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { fetchSource } from '../src/models/sources/fetch-source.ts' // in your own program: peer.importModel(source)
import { resolveHomePath, systemClock } from '../src/util/index.ts'

export interface Wanted {
  /** The option that names a file of your own: `--model FILE`. */
  readonly option: string
  /** Below ../shared/data, where that is there. */
  readonly data?: string
  /** As `weft import` takes it. */
  readonly source?: string
  /** Hex; what is fetched must have it. */
  readonly sha256?: string
}

/** Milliseconds for one source; after that an example says what is missing, and ends well. */
const PATIENCE_MS = 30_000
const DATA = fileURLToPath(new URL('../../shared/data/', import.meta.url))

/** The path of the file. Where there is none, says in a line what is missing, and ends the program with status 0. */
export async function find({ option, data, source, sha256 }: Wanted): Promise<string> {
  const given = named(option)
  if (given !== undefined) return given
  const neighbour = data === undefined ? undefined : inData(data)
  if (neighbour !== undefined) return neighbour
  if (source === undefined) return skip(`name a file with --${option}`)
  try {
    return await fetched(source, sha256)
  } catch (error) {
    return skip(`${source} is not to be had (${(error as Error).message}): name a file with --${option}`)
  }
}

/** The file that the command line names for this option. */
export function named(option: string): string | undefined {
  const { values } = parseArgs({ options: { [option]: { type: 'string' } }, strict: false, allowPositionals: true })
  const value = values[option]
  return typeof value === 'string' ? value : undefined
}

/** A file of ../shared/data, where that is there. */
export function inData(name: string): string | undefined {
  return existsSync(DATA + name) ? DATA + name : undefined
}

function skip(why: string): never {
  process.stdout.write(`skipped: ${why}\n`)
  return process.exit(0)
}

/** Kept in the home of weft, so that a second run asks nobody. */
async function fetched(source: string, sha256: string | undefined): Promise<string> {
  const folder = join(resolveHomePath(undefined, process.env), 'examples')
  const name = createHash('sha256').update(source).digest('hex').slice(0, 12)
  const path = join(folder, `${name}-${basename(source)}`)
  if (existsSync(path)) return path
  await mkdir(folder, { recursive: true })
  const needs = { clock: systemClock(), downloads: join(folder, 'downloads'), waitLimit: PATIENCE_MS }
  const file = await fetchSource(needs, source, () => {})
  try {
    const got = createHash('sha256')
      .update(await readFile(file.path))
      .digest('hex')
    if (sha256 !== undefined && got !== sha256) throw new Error(`its SHA-256 is ${got} and not ${sha256}`)
    await copyFile(file.path, `${path}.part`)
    await rename(`${path}.part`, path)
    return path
  } finally {
    await file.dispose()
  }
}
