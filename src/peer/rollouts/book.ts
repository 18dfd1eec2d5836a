/** Roll-outs of a home, a file each, whole or not at all. */
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeFileAtomic } from '../../store/index.ts'
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
    const names = await readdir(folder).catch(() => [])
    for (const name of names.filter((each) => each.endsWith('.json'))) {
      try {
        const record = recordSchema.parse(JSON.parse(await readFile(join(folder, name), 'utf8')))
        book.#records.set(keyOf(record.model, record.alias), record)
      } catch (error) {
        damaged(name, error)
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
    this.#records.set(key, record)
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    await writeFileAtomic(join(this.#folder, `${key}.json`), Buffer.from(`${JSON.stringify(record, null, 2)}\n`))
  }
}

/** A colon is not allowed in file names everywhere; names have no `+`. */
function keyOf(model: string, alias: string): string {
  return `${model.replace(':', '@')}+${alias}`
}
