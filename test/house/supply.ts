/** What a lock file may not gain unnoticed (threat E16): text in, sentences out. */

interface LockEntry {
  readonly version?: string
  readonly integrity?: string
  readonly resolved?: string
  readonly hasInstallScript?: boolean
  readonly link?: boolean
}

export interface Lock {
  readonly packages: Readonly<
    Record<string, LockEntry & { dependencies?: Record<string, string>; devDependencies?: Record<string, string> }>
  >
}

interface Declared {
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
}

/** These run something when they are installed; each works without it (docs/security/hardening.md, step 10). */
const MAY_RUN_AT_INSTALL = new Set(['msgpackr-extract', 'node', 'onnxruntime-node'])
/** Packages in all, of development and ours: more is a decision, and a higher number here says so. */
const MOST_PACKAGES = 360

/** Two names that a reader takes for one: letters turned round, doubled, left out or exchanged; scopes and signs aside. */
function looksLike(one: string, other: string): boolean {
  if (one === other || Math.abs(one.length - other.length) > 1 || one.length < 5) return false
  const [short, long] = one.length <= other.length ? [one, other] : [other, one]
  let at = 0
  while (at < short.length && short[at] === long[at]) at++
  if (short.length < long.length) return short.slice(at) === long.slice(at + 1)
  const isTurned =
    short[at] === long[at + 1] && short[at + 1] === long[at] && short.slice(at + 2) === long.slice(at + 2)
  return isTurned || short.slice(at + 1) === long.slice(at + 1)
}

const plain = (name: string): string => name.replaceAll(/[-_.]/g, '').toLowerCase()

export function supplyBreaches(lock: Lock, declared: Declared, known: ReadonlySet<string>): string[] {
  const found: string[] = []
  const { '': root, ...entries } = lock.packages
  for (const kind of ['dependencies', 'devDependencies'] as const) {
    const [there, here] = [root?.[kind] ?? {}, declared[kind]]
    for (const name of new Set([...Object.keys(there), ...Object.keys(here)]))
      if (there[name] !== here[name]) found.push(`${name} is not in the lock file as it is declared`)
  }
  const names = Object.keys(entries).map((path) =>
    path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length),
  )
  const direct = Object.keys({ ...declared.dependencies, ...declared.devDependencies })
  for (const [n, [path, entry]] of Object.entries(entries).entries()) {
    const name = names[n]!
    if (entry.link === true) found.push(`${path} is a link`)
    if (!/^sha512-[A-Za-z0-9+/]{86}==$/.test(entry.integrity ?? '')) found.push(`${path} has no hash`)
    if (entry.resolved !== undefined) found.push(`${path} names a place of its own: ${entry.resolved}`)
    if (entry.hasInstallScript === true && !MAY_RUN_AT_INSTALL.has(name))
      found.push(`${path} runs something when installed`)
    const twin = direct.find((other) => other !== name && (plain(other) === plain(name) || looksLike(name, other)))
    if (twin !== undefined && !known.has(name)) found.push(`${path} looks like ${twin}`)
  }
  const count = Object.keys(entries).length
  if (count > MOST_PACKAGES) found.push(`there are ${count} packages, ${MOST_PACKAGES} are the most`)
  return found
}
