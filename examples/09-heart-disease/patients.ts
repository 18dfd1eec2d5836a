/** Where the patients come from: a folder of your own, four hospitals of UCI's Heart Disease data, or others that are made up. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { basename, extname, join } from 'node:path'
import { createSeeded } from '../../src/data/index.ts'
import { say } from '../check.ts'
import { inData, named } from '../find.ts'

export const COLUMNS = 'age sex cp trestbps chol fbs restecg thalach exang oldpeak slope ca thal num'.split(' ')
const SITES = ['cleveland', 'hungarian', 'switzerland', 'va'] as const
/** A secure sum of fewer hides nobody. */
const LEAST_SITES = 3

export interface Patients {
  readonly from: string
  readonly isReal: boolean
  /** What holds of UCI's patients need not hold of others. */
  readonly isOwn: boolean
  /** Names of hospitals, and their tables in UCI's form: fourteen columns, no heading. */
  readonly sites: readonly { readonly name: string; readonly file: string }[]
}

/** @param given a folder with a CSV a hospital: the columns of UCI's data, with or without a heading. One that cannot be used ends the program with a line that says why. */
export async function findPatients(folder: string, given: string | undefined = named('data')): Promise<Patients> {
  if (given !== undefined) {
    const sites = await ownSites(given, folder).catch((error: unknown) => {
      say(`✗ --data ${given}: ${(error as Error).message}`)
      return process.exit(2)
    })
    return { from: `${sites.length} tables of your own`, isReal: true, isOwn: true, sites }
  }
  const real = SITES.flatMap((name) => {
    const file = inData(`health/processed.${name}.data`)
    return file === undefined ? [] : [{ name, file }]
  })
  if (real.length === SITES.length) return { from: 'four hospitals', isReal: true, isOwn: false, sites: real }
  return { from: 'made-up patients', isReal: false, isOwn: false, sites: await madeUp(folder) }
}

async function ownSites(given: string, folder: string): Promise<Patients['sites']> {
  const names = (await readdir(given)).filter((name) => ['.csv', '.data'].includes(extname(name))).sort()
  if (names.length < LEAST_SITES) {
    throw new Error(
      `${names.length} tables (*.csv, *.data) are there, one a hospital, and ${LEAST_SITES} are the least`,
    )
  }
  const sites: { name: string; file: string }[] = []
  for (const name of names) {
    const rows = rowsOf(name, await readFile(join(given, name), 'utf8'))
    const file = join(folder, `own-${sites.length}.data`)
    await writeFile(file, `${rows.join('\n')}\n`)
    sites.push({ name: basename(name, extname(name)), file })
  }
  const twice = sites.find(({ name }, index) => sites.findIndex((other) => other.name === name) !== index)
  if (twice !== undefined) throw new Error(`two tables are named "${twice.name}"`)
  return sites
}

/** @throws where a line is none of a patient's */
function rowsOf(name: string, text: string): string[] {
  const lines = text.trim().split(/\r?\n/)
  const cellsOf = (line: string): string[] => line.split(',').map((cell) => cell.trim().replaceAll('"', ''))
  const hasHeading = cellsOf(lines[0]!).join(' ').toLowerCase() === COLUMNS.join(' ')
  const rows = lines.slice(hasHeading ? 1 : 0).map((line, index) => {
    const cells = cellsOf(line)
    const where = `${name}, line ${index + (hasHeading ? 2 : 1)}`
    if (cells.length !== COLUMNS.length) {
      throw new Error(`${where}: ${cells.length} cells, and ${COLUMNS.length} are wanted: ${COLUMNS.join(',')}`)
    }
    const odd = cells.findIndex((cell) => cell !== '?' && !Number.isFinite(Number(cell)))
    if (odd >= 0)
      throw new Error(`${where}: "${cells[odd]}" of ${COLUMNS[odd]} is no number (? or nothing where it is missing)`)
    if (['', '?'].includes(cells.at(-1)!)) throw new Error(`${where}: num is missing, and it is what is learnt`)
    return cells.join(',')
  })
  if (rows.length < 10) throw new Error(`${name}: ${rows.length} patients, and 10 are the least`)
  return rows
}

/** Illness is likelier with age, pain without angina, a low pulse and a depressed ST segment; some cells are missing. */
async function madeUp(folder: string): Promise<Patients['sites']> {
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
  const sites = SITES.map((name) => ({ name, file: join(folder, `${name}.data`) }))
  for (const { file } of sites) await writeFile(file, `${Array.from({ length: 200 }, row).join('\n')}\n`)
  return sites
}
