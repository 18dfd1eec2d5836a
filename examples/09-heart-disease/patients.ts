/** Where the patients come from: four hospitals of UCI's Heart Disease data, or others that are made up. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createSeeded } from '../../src/data/index.ts'
import { inData } from '../find.ts'

const SITES = ['cleveland', 'hungarian', 'switzerland', 'va'] as const

export interface Patients {
  readonly from: string
  readonly isReal: boolean
  readonly files: readonly string[]
}

export async function findPatients(folder: string): Promise<Patients> {
  const real = SITES.map((site) => inData(`health/processed.${site}.data`))
  const files = real.filter((path) => path !== undefined)
  if (files.length === SITES.length) return { from: 'four hospitals', isReal: true, files }
  return { from: 'made-up patients', isReal: false, files: await madeUp(folder) }
}

/** Illness is likelier with age, pain without angina, a low pulse and a depressed ST segment; some cells are missing. */
async function madeUp(folder: string): Promise<string[]> {
  const seeded = createSeeded(1, 'patients')
  const cell = (value: number): string => (seeded.uniform() < 0.1 ? '?' : value.toFixed(1))
  const row = (): string => {
    const ill = seeded.below(2)
    const pain = ill === 1 && seeded.uniform() < 0.7 ? 4 : 1 + seeded.below(4)
    const numbers = [
      52 + 6 * ill + 9 * seeded.normal(),
      1,
      pain,
      130 + 15 * seeded.normal(),
      240 + 40 * seeded.normal(),
    ]
    const rest = [
      0,
      0,
      150 - 18 * ill + 20 * seeded.normal(),
      seeded.below(2),
      Math.abs(ill + seeded.normal()),
      2,
      ill,
      3,
    ]
    return [...numbers.map(cell), ...rest.map(cell), ill].join(',')
  }
  const files = SITES.map((site) => join(folder, `${site}.data`))
  for (const file of files) await writeFile(file, `${Array.from({ length: 200 }, row).join('\n')}\n`)
  return files
}
