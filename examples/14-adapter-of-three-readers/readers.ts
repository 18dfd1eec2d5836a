/** Three readers, each with a text of its own: a book beside the repository each, or sentences that are made up. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createSeeded } from '../../src/data/index.ts'
import { inData } from '../find.ts'

const BOOKS = ['moby-dick', 'sotu', 'war-and-peace']
/** Characters of each that are read: enough to learn from in half a minute. */
const CHARACTERS = 7000
const WORDS = [
  ['the whale', 'a harpoon', 'the mast', 'the captain', 'a wave', 'the deck', 'saw', 'struck', 'followed', 'feared'],
  [
    'the nation',
    'our people',
    'the Congress',
    'a law',
    'the budget',
    'peace',
    'will protect',
    'demands',
    'owes',
    'needs',
  ],
  ['the prince', 'a general', 'the ball', 'Moscow', 'his sister', 'a letter', 'loved', 'awaited', 'forgave', 'left'],
]

export interface Reader {
  readonly name: string
  /** Description of the data, as `weft fed` takes it. */
  readonly data: string
  readonly text: string
}

export async function readers(
  folder: string,
): Promise<{ readonly isReal: boolean; readonly readers: readonly Reader[] }> {
  const files = BOOKS.map((name) => inData(`text/${name}.txt`))
  const isReal = files.every((file) => file !== undefined)
  const all = await Promise.all(
    BOOKS.map(async (book, index): Promise<Reader> => {
      const text = isReal ? middleOf(await readFile(files[index]!, 'utf8')) : sentences(index)
      const name = isReal ? book : `reader-${index + 1}`
      return { name, text, data: await describe(folder, name, text) }
    }),
  )
  return { isReal, readers: all }
}

/** A text as the data of a site. */
export async function describe(folder: string, site: string, text: string): Promise<string> {
  await writeFile(join(folder, `${site}.txt`), text)
  const data = join(folder, `${site}.json`)
  await writeFile(data, JSON.stringify({ schema: 'weft.fed-data/1', site, kind: 'text', path: `${site}.txt` }))
  return data
}

function middleOf(text: string): string {
  const from = text.indexOf('\n', Math.floor(text.length / 2)) + 1
  return text.slice(from, from + CHARACTERS)
}

function sentences(reader: number): string {
  const seeded = createSeeded(reader, 'sentences')
  const words = WORDS[reader]!
  const noun = (): string => words[seeded.below(6)]!
  const verb = (): string => words[6 + seeded.below(4)]!
  let text = ''
  while (text.length < CHARACTERS) text += `${noun()} ${verb()} ${noun()}, and ${noun()} ${verb()} ${noun()}. `
  return text
}
