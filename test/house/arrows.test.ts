/** The house stands as DESIGN section 3 draws it: imports go down, and through the faces. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { cycleBetweenRooms, importsOf, pathsOf, ROOMS, wrongArrows, wrongPaths } from './arrows.ts'
import { read, ROOT, sourceFiles } from './repository.ts'

const imports = sourceFiles('src').flatMap((file) => importsOf(file, read(file)))

describe('src', () => {
  test('is read at all: hundreds of imports, types and dynamic ones among them', () => {
    expect(imports.length).toBeGreaterThan(500)
    const has = (file: string, specifier: string): boolean =>
      imports.some((arrow) => arrow.file === file && arrow.specifier === specifier)
    expect(has('src/peer/local-peer.ts', '../mesh/index.ts')).toBe(true)
    expect(has('src/cli/verbs.ts', './commands/up.ts')).toBe(true)
  })

  test('has no import that runs up or goes past a face', () => {
    expect(wrongArrows(imports)).toEqual([])
  })

  test('has no path into another room: programs are started, and files read, by the room that has them', () => {
    const paths = sourceFiles('src').flatMap((file) => pathsOf(file, read(file)))
    expect(paths.map(({ specifier }) => specifier)).toContain('./host/${name}.${extension}')
    expect(wrongPaths(paths)).toEqual([])
  })

  test('has no cycle between rooms', () => {
    expect(cycleBetweenRooms(imports)).toBeUndefined()
  })

  test('consists of the rooms of the design, each with a face, and of the face of the package', () => {
    const entries = readdirSync(join(ROOT, 'src'), { withFileTypes: true })
    const rooms = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
    expect(rooms.filter((room) => !(ROOMS as readonly string[]).includes(room))).toEqual([])
    expect(rooms.filter((room) => !existsSync(join(ROOT, 'src', room, 'index.ts')))).toEqual([])
    const files = entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
    expect(files.sort()).toEqual(['errors.ts', 'index.ts', 'library.ts'])
  })
})

describe('the reading of imports', () => {
  const wrong = (file: string, text: string): string[] => wrongArrows(importsOf(file, text))

  test.each<[string, string, string, RegExp]>([
    ['an arrow up', 'src/net/a.ts', "import { x } from '../peer/index.ts'", /runs up, from net to peer/],
    ['a type that runs up', 'src/store/a.ts', "import type { X } from '../models/index.ts'", /runs up/],
    ['an export that runs up', 'src/util/a.ts', "export { x } from '../net/index.ts'", /runs up/],
    ['many lines', 'src/net/a.ts', "import {\n  a,\n  b,\n} from '../mesh/index.ts'", /runs up/],
    ['a dynamic import that runs up', 'src/net/a.ts', "const x = await import('../cli/main.ts')", /runs up/],
    ['an import for its effect', 'src/net/a.ts', "import '../api/index.ts'", /runs up/],
    ['a step past a face', 'src/cli/a.ts', "import { x } from '../net/frame.ts'", /past the face of net/],
    ['a type past a face', 'src/cli/b/a.ts', "import type { X } from '../../net/frame.ts'", /past the face of net/],
    ['a way out of src', 'src/cli/a.ts', "import x from '../../test/x.ts'", /leaves src/],
    ['a room that is not there', 'src/attic/a.ts', "import { x } from '../net/index.ts'", /no room/],
    ['a room by name, low in the house', 'src/net/a.ts', 'await import(`../${room}/index.ts`)', /chosen by name/],
    ['the face of the package, from inside', 'src/cli/a.ts', "import { x } from '../index.ts'", /no room/],
    ['too much in the face of the package', 'src/library.ts', "import { x } from './net/index.ts'", /no need of net/],
    ['a path without its ending', 'src/cli/a.ts', "import { x } from './b.js'", /ends in .ts/],
  ])('finds %s', (_, file, text, why) => {
    expect(wrong(file, text)).toEqual([expect.stringMatching(why)])
  })

  test.each<[string, string, string]>([
    ['an arrow down', 'src/peer/a.ts', "import type { X } from '../net/index.ts'"],
    ['the errors of all', 'src/util/a.ts', "import { WeftError } from '../errors.ts'"],
    ['a neighbour in the same room', 'src/net/deep/a.ts', "import { x } from '../frame.ts'"],
    ['a package', 'src/net/a.ts', "import { createLibp2p } from 'libp2p'"],
    [
      'what a comment says',
      'src/net/a.ts',
      "/**\n * import { x } from '../cli/main.ts'\n */\n// import('../cli/a.ts')",
    ],
    ['a room by name, from the command line', 'src/cli/a.ts', 'await import(`../${room}/index.ts`)'],
    ['the face of the package on a room', 'src/library.ts', "import { x } from './peer/index.ts'"],
  ])('lets %s pass', (_, file, text) => {
    expect(wrong(file, text)).toEqual([])
  })

  test.each<[string, string, boolean]>([
    ['a program by URL', "new URL('../net/main.ts', import.meta.url)", true],
    ['a program of either kind', 'fileURLToPath(new URL(`../net/main.${extension}`, import.meta.url))', true],
    ['a program that is joined', "spawn(process.execPath, [join(import.meta.dirname, '../../src/net/main.ts')])", true],
    ['over many lines', "fork(\n  new URL(\n    '../net/deep/main.ts',\n    import.meta.url,\n  ),\n)", true],
    ['a worker', "new Worker(new URL('../net/thread.ts', import.meta.url))", true],
    ['its own program', 'new URL(`./host/main.${extension}`, import.meta.url)', false],
    ['its own program, from deeper', "new URL('../../peer/main.ts', import.meta.url)", false],
    ['the package', "new URL('../../package.json', import.meta.url)", false],
    ['an import', "import {\n  a,\n} from '../net/index.ts'", false],
    ['a comment', "// new URL('../net/main.ts', import.meta.url)", false],
  ])('of paths finds %s', (_, text, found) => {
    const file = text.includes('../../peer') ? 'src/peer/deep/a.ts' : 'src/peer/a.ts'
    const why = expect.stringMatching(/names '.*': a file of net by its path/) as string
    expect(wrongPaths(pathsOf(file, text))).toEqual(found ? [why] : [])
  })

  test('finds a cycle of three rooms, and none in a line', () => {
    const arrow = (file: string, specifier: string): ReturnType<typeof importsOf>[number] => ({
      file,
      specifier,
      line: 1,
    })
    const line = [arrow('src/a/x.ts', '../b/index.ts'), arrow('src/b/x.ts', '../c/index.ts')]
    expect(cycleBetweenRooms(line)).toBeUndefined()
    expect(cycleBetweenRooms([...line, arrow('src/c/x.ts', '../a/index.ts')])).toEqual(['a', 'b', 'c', 'a'])
  })
})
