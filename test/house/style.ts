/** The habits of DESIGN section 6 that a machine can hold us to. Each rule: a text in, sentences out. */
import { codeOf, lineOf } from './repository.ts'

export const MAX_LINES = 320
/** Tests are lists of cases. */
const MAX_TEST_LINES = 420

/** Time, randomness and timers are needs (DESIGN decision 16); these rooms make the real ones. */
const MAY_TOUCH_THE_CLOCK = ['src/util/', 'src/net/']

interface Rule {
  readonly name: string
  readonly pattern: RegExp
  readonly applies?: (path: string) => boolean
}

const RULES: readonly Rule[] = [
  { name: 'the type any', pattern: /(?::|\bas|<|,|\||&|=>|=)\s*any\b(?!\s*[(:.?])|\bany\[\]/g },
  { name: 'a default export', pattern: /^export\s+default\b|\bas\s+default\s*[,}]/gm },
  { name: 'an enum', pattern: /^\s*(?:export\s+)?(?:declare\s+)?(?:const\s+)?enum\s+\w/gm },
  { name: 'a namespace', pattern: /^\s*(?:export\s+)?(?:declare\s+)?(?:namespace|module)\s+\w/gm },
  {
    name: 'the clock, a timer or chance taken directly',
    pattern:
      /\bDate\.now\b|\bnew Date\(\s*\)|\bMath\.random\b|\bset(?:Timeout|Interval)\b|\bperformance\.now\b|\bAbortSignal\.timeout\b/g,
    applies: (path) => path.startsWith('src/') && !MAY_TOUCH_THE_CLOCK.some((room) => path.startsWith(room)),
  },
]

/** The file that a tool demands to have one. */
const MAY_EXPORT_DEFAULT = new Set(['vitest.config.ts'])

export function breaches(path: string, text: string): string[] {
  const code = codeOf(text)
  const found = RULES.filter((rule) => rule.applies?.(path) ?? true)
    .filter((rule) => rule.name !== 'a default export' || !MAY_EXPORT_DEFAULT.has(path))
    .flatMap((rule) =>
      [...code.matchAll(rule.pattern)].map((match) => {
        const skipped = match[0].length - match[0].trimStart().length
        return `${path}:${lineOf(code, match.index + skipped)} has ${rule.name}`
      }),
    )
  const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0)
  const most = path.startsWith('test/') ? MAX_TEST_LINES : MAX_LINES
  return lines > most ? [...found, `${path} has ${lines} lines, ${most} are the most`] : found
}

const MACHINE_PATHS = /(?<![\w.\-/:@*])\/(?:work|root|Users|home\/[a-z][\w-]*)\b/g
/** Packages come from whatever registry the user's clients know. A model hub is no registry. */
const REGISTRY_HOSTS = /\b(?:registry\.\w+\.(?:org|com)|(?:[\w-]+\.)?pypi\.org|files\.pythonhosted\.org)\b/g

/** What ties a file to one machine or one site. */
export function ties(path: string, text: string): string[] {
  const at = (pattern: RegExp, what: string): string[] =>
    [...text.matchAll(pattern)].map((match) => `${path}:${lineOf(text, match.index)} has ${what}: ${match[0]}`)
  return [...at(MACHINE_PATHS, 'a path of a machine'), ...at(REGISTRY_HOSTS, 'the host of a registry')]
}
