/** An attack with its control: it must succeed where the defence is off, or it shows nothing. */

export interface Outcome {
  /** What was measured, and what it had to be. */
  readonly what: string
  readonly value: number
  readonly holds: boolean
}

export interface Attack {
  readonly id: string
  readonly name: string
  /** It measures times: nothing else runs beside it. @default with others */
  readonly isAlone?: boolean
  /** Defence off: the attack succeeds. */
  control(size: Size): Promise<readonly Outcome[]>
  /** Defence on: it does not. */
  defended(size: Size): Promise<readonly Outcome[]>
}

/** `few`: in every test run; `all`: npm run attacks. */
export type Size = 'few' | 'all'

export function least(what: string, value: number, bound: number): Outcome {
  return { what: `${what}: at least ${bound}`, value, holds: value >= bound }
}

export function most(what: string, value: number, bound: number): Outcome {
  return { what: `${what}: at most ${bound}`, value, holds: value <= bound }
}

/** What a threat list asks for and is not a law: it is said whether it is met, and does not decide. */
export function wanted(what: string, value: number, bound: number): Outcome {
  return { what: `${what}: ${bound} is wanted, and is ${value <= bound ? 'met' : 'NOT MET'}`, value, holds: true }
}

/** The same, of what has to be high. */
export function wantedLeast(what: string, value: number, bound: number): Outcome {
  return { what: `${what}: ${bound} is wanted, and is ${value >= bound ? 'met' : 'NOT MET'}`, value, holds: true }
}

export function codeOf(action: () => unknown): string {
  try {
    action()
    return 'done'
  } catch (error) {
    const { kind, code } = error as { kind?: string; code?: string }
    return kind ?? code ?? String(error)
  }
}
