/** The arrows of import: which file takes what from where, and what DESIGN section 3 says about it. */
import { posix } from 'node:path'
import { codeOf, lineOf } from './repository.ts'

/** From the top of the house down; an arrow may only go from left to right. */
export const ROOMS = [
  'cli',
  'api',
  'peer',
  'federated',
  'compress',
  'pipeline',
  'training',
  'mesh',
  'placement',
  'models',
  'data',
  'onnx',
  'trust',
  'store',
  'net',
  'telemetry',
  'util',
  'errors.ts',
] as const

/** The face of the package: above all rooms, and it needs few of them. */
const FACADE = new Set(['index.ts', 'library.ts'])
const FACADE_MAY_IMPORT = new Set(['peer', 'pipeline', 'util', 'errors.ts', 'library.ts'])

export interface Import {
  /** From the root, e.g. `src/cli/main.ts`. */
  readonly file: string
  readonly line: number
  readonly specifier: string
}

const STATEMENT = /^(?:import|export)\b(?:[^'"`;]*?\bfrom\s*)?\s*(['"])([^'"\n]+)\1/gm
const CALL = /\bimport\(\s*(['"`])([^'"`\n]+)\1/g

/** Static, re-exporting, type-only and dynamic imports alike. */
export function importsOf(file: string, text: string): Import[] {
  const code = codeOf(text, true)
  return [STATEMENT, CALL].flatMap((pattern) =>
    [...code.matchAll(pattern)].map((match) => ({
      file,
      line: lineOf(code, match.index),
      specifier: match[2]!,
    })),
  )
}

const PATH = /(['"`])(\.{1,2}\/[^'"`\n]*)\1/g

/** Relative paths in strings that are no imports: files that are read, programs that are started. */
export function pathsOf(file: string, text: string): Import[] {
  const blank = (match: string): string => match.replace(/[^\n]/g, ' ')
  const code = codeOf(text, true).replace(STATEMENT, blank).replace(CALL, blank)
  return [...code.matchAll(PATH)].map((match) => ({ file, line: lineOf(code, match.index), specifier: match[2]! }))
}

/** Sentences, one for each path that leads into another room: what lies there is known behind its face alone. */
export function wrongPaths(paths: readonly Import[]): string[] {
  return paths.flatMap(({ file, line, specifier }) => {
    const [from, to] = [roomOf(file), roomOf(posix.join(posix.dirname(file), specifier))]
    if (to === undefined || to === from || !(ROOMS as readonly string[]).includes(to)) return []
    return [`${file}:${line} names '${specifier}': a file of ${to} by its path`]
  })
}

/** Sentences, one for each arrow that must not be. */
export function wrongArrows(imports: readonly Import[]): string[] {
  return imports.flatMap((arrow) => {
    const why = judge(arrow)
    return why === undefined ? [] : [`${arrow.file}:${arrow.line} imports '${arrow.specifier}': ${why}`]
  })
}

function judge({ file, specifier }: Import): string | undefined {
  if (!specifier.startsWith('.')) return undefined
  if (!specifier.endsWith('.ts')) return 'a path ends in .ts'
  const target = posix.join(posix.dirname(file), specifier)
  const [from, to] = [roomOf(file), roomOf(target)]
  if (to === undefined) return 'it leaves src/'
  if (from === to && from !== undefined) return undefined
  if (FACADE.has(from ?? ''))
    return FACADE_MAY_IMPORT.has(to) ? pastFace(target) : `the face of the package has no need of ${to}`
  // A room that is chosen by name at run time: only the command line, which stands above them all, may do it.
  if (to.includes('$')) return from === 'cli' ? pastFace(target) : 'a room is chosen by name below the command line'
  const [above, below] = [rank(from ?? ''), rank(to)]
  if (above < 0) return `${from} is no room of the house`
  if (below < 0) return `${to} is no room of the house`
  if (above > below) return `the arrow runs up, from ${from} to ${to}`
  return pastFace(target)
}

function pastFace(target: string): string | undefined {
  const parts = target.split('/')
  return parts.length === 2 || (parts.length === 3 && parts[2] === 'index.ts')
    ? undefined
    : `it goes past the face of ${parts[1]}`
}

function roomOf(path: string): string | undefined {
  const parts = path.split('/')
  return parts[0] === 'src' ? parts[1] : undefined
}

function rank(room: string): number {
  return (ROOMS as readonly string[]).indexOf(room)
}

/** A way from a room back to itself, or undefined. */
export function cycleBetweenRooms(imports: readonly Import[]): string[] | undefined {
  const edges = new Map<string, Set<string>>()
  for (const { file, specifier } of imports) {
    if (!specifier.startsWith('.')) continue
    const [from, to] = [roomOf(file), roomOf(posix.join(posix.dirname(file), specifier))]
    if (from === undefined || to === undefined || from === to) continue
    edges.set(from, (edges.get(from) ?? new Set()).add(to))
  }
  const done = new Set<string>()
  const search = (room: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(room)) return [...path.slice(path.indexOf(room)), room]
    if (done.has(room)) return undefined
    for (const next of edges.get(room) ?? []) {
      const found = search(next, [...path, room])
      if (found !== undefined) return found
    }
    done.add(room)
    return undefined
  }
  for (const room of edges.keys()) {
    const found = search(room, [])
    if (found !== undefined) return found
  }
  return undefined
}
