/** Roll-outs of a home, a file each, whole or not at all. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { needFolders, readSummedJson, summedJson, writeFileAtomic } from '../../store/index.ts'
import { RolloutDamagedError } from './errors.ts'
import { recordSchema } from './record.ts'
import type { RolloutRecord } from './record.ts'

export class RolloutBook {
  readonly #folder: string
  readonly #records = new Map<string, RolloutRecord>()

  private constructor(folder: string) {
    this.#folder = folder
  }

  /** One that cannot be read is left out and named: nothing answers under its name until it is begun again. */
  static async open(folder: string, damaged: (file: string, error: unknown) => void): Promise<RolloutBook> {
    const book = new RolloutBook(folder)
    const names = await namesIn(folder, damaged)
    for (const name of names.filter((each) => each.endsWith('.json'))) {
      try {
        const record = recordSchema.parse(readSummedJson(await readFile(join(folder, name), 'utf8')))
        book.#records.set(keyOf(record.model, record.alias), record)
      } catch (error) {
        damaged(name, new RolloutDamagedError(name, error))
      }
    }
    return book
  }

  list(): readonly RolloutRecord[] {
    return [...this.#records.values()]
  }

  get(model: string, alias: string): RolloutRecord | undefined {
    return this.#records.get(keyOf(model, alias))
  }

  /** The one that tries rounds of this job, or did last. */
  ofJob(job: string): RolloutRecord | undefined {
    return this.list().find((record) => record.job === job)
  }

  async save(record: RolloutRecord): Promise<void> {
    const key = keyOf(record.model, record.alias)
    await needFolders(this.#folder, 0o700)
    await writeFileAtomic(join(this.#folder, `${key}.json`), summedJson(record))
    this.#records.set(key, record)
  }
}

async function namesIn(folder: string, damaged: (file: string, error: unknown) => void): Promise<string[]> {
  return readdir(folder).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') damaged(folder, new RolloutDamagedError(folder, error))
    return []
  })
}

/** A colon is not allowed in file names everywhere; names have no `+`. */
function keyOf(model: string, alias: string): string {
  return `${model.replace(':', '@')}+${alias}`
}
