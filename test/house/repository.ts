/** What the tests about the repository itself read: its files, and TypeScript without comments or texts. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../../', import.meta.url))

const UNTRACKED_FOLDERS = new Set(['.git', 'node_modules', 'dist', '.weft', 'coverage'])

/** Paths from the root, with `/`: what git holds or would hold; all files where git is not there (a tarball). */
export function repositoryFiles(): string[] {
  try {
    const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const present = new Set(walk(ROOT))
    return listed.split('\0').filter((path) => present.has(path))
  } catch {
    return walk(ROOT)
  }
}

function walk(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return UNTRACKED_FOLDERS.has(entry.name) ? [] : walk(path)
    return entry.isFile() ? [relative(ROOT, path).replaceAll('\\', '/')] : []
  })
}

export function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

/** TypeScript under the folders. */
export function sourceFiles(...folders: readonly string[]): string[] {
  return repositoryFiles().filter(
    (path) => path.endsWith('.ts') && folders.some((folder) => path.startsWith(`${folder}/`)),
  )
}

/**
 * The code with comments blanked and the insides of texts too, unless they are kept; lines stay where they are. A
 * scanner, not a parser: a regular expression that holds a quote or two slashes may confuse it until the line's end.
 */
export function codeOf(text: string, keepTexts = false): string {
  const pattern = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g
  return text.replace(pattern, (match) => {
    const isText = !match.startsWith('/')
    if (isText && keepTexts) return match
    return isText ? match[0]! + match.slice(1, -1).replace(/[^\n]/g, ' ') + match.at(-1)! : match.replace(/[^\n]/g, ' ')
  })
}

export function lineOf(text: string, index: number): number {
  return text.slice(0, index).split('\n').length
}
