/**
 * What this peer has measured of the rows of models that it imported, kept in the mesh home; and with what others say, how large
 * rows of a boundary are.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { Mesh, ModelLevels } from '../mesh/index.ts'
import type { LevelRange, MeasuredLevels } from '../pipeline/index.ts'
import { writeFileAtomic } from '../store/index.ts'

/** Models that are remembered; the oldest make room. */
const MAX_MODELS = 256

const levels = z.array(z.number().int().min(-15).max(128)).min(1).max(10_000)
const fileSchema = z.strictObject({
  schema: z.literal('weft.levels/1'),
  models: z
    .array(z.strictObject({ digest: z.string().regex(/^[0-9a-f]{64}$/), low: levels, high: levels }))
    .max(MAX_MODELS),
})

export class RowLevels {
  readonly #path: string
  readonly #models = new Map<string, ModelLevels>()

  private constructor(path: string) {
    this.#path = path
  }

  /** A file that cannot be read is as none: rows are still to be numbers. */
  static async open(directory: string, log: (line: string) => void): Promise<RowLevels> {
    const all = new RowLevels(join(directory, 'levels.json'))
    const text = await readFile(all.#path, 'utf8').catch(() => undefined)
    if (text === undefined) return all
    try {
      for (const { digest, low, high } of fileSchema.parse(JSON.parse(text)).models)
        all.#models.set(digest, { low, high })
    } catch {
      log('what was measured of the rows of models cannot be read: an import measures it anew')
    }
    return all
  }

  /** What was measured here; undefined: nothing. */
  own(digest: string): ModelLevels | undefined {
    return this.#models.get(digest)
  }

  /** @param measured of the rows that go into block 1, 2, ... @throws what writing the file throws */
  async keep(digest: string, measured: MeasuredLevels): Promise<void> {
    this.#models.delete(digest)
    this.#models.set(digest, {
      low: measured.map(([low]) => Math.floor(low)),
      high: measured.map(([, high]) => Math.ceil(high)),
    })
    while (this.#models.size > MAX_MODELS) this.#models.delete(this.#models.keys().next().value!)
    const models = [...this.#models].map(([key, value]) => ({ digest: key, ...value }))
    await writeFileAtomic(this.#path, JSON.stringify({ schema: 'weft.levels/1', models }))
  }

  /**
   * Of rows that go into a block, all that was measured together: whoever is honest makes room for what is honest. What the sender
   * says of itself counts where nobody else has measured the model: it brought it, and could have brought any.
   * @returns undefined: nobody has measured them
   */
  of(digest: string, block: number, sender: string, mesh: Pick<Mesh, 'levels'> | null): LevelRange | undefined {
    const own = this.own(digest)
    const said = mesh?.levels(digest) ?? []
    const others = said.filter(({ by }) => by !== sender).map((each) => each.levels)
    const counted = own === undefined ? others : [own, ...others]
    const all = counted.length > 0 ? counted : said.map((each) => each.levels)
    const ranges = all.flatMap(({ low, high }) => {
      const [least, greatest] = [low[block - 1], high[block - 1]]
      return least === undefined || greatest === undefined ? [] : [{ low: least, high: greatest }]
    })
    if (ranges.length === 0) return undefined
    return { low: Math.min(...ranges.map(({ low }) => low)), high: Math.max(...ranges.map(({ high }) => high)) }
  }
}
