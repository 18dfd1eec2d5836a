/** Why a site does not charge its ledger, and so releases nothing. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorFacts, ErrorInfo } from '../../errors.ts'

export class BudgetExceededError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-040',
    title: 'Privacy budget exceeded',
    meaning:
      'A round would spend more than the cap of a data set allows, all jobs, restarts and retries counted. Nothing was charged and nothing left the site.',
    remedy:
      'Stop training on these data, agree on more noise or fewer rounds, or let whoever answers for the data raise the cap.',
    exit: EXIT.denied,
    http: 403,
  }
  constructor(message: string, facts: ErrorFacts = {}) {
    super(BudgetExceededError.info, message, facts)
  }
}

export class NoBudgetError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-041',
    title: 'Data set without a budget',
    meaning: 'A round asks for data for which nobody at this site has set a privacy budget.',
    remedy: 'Whoever answers for the data sets one, with setCap of the ledger.',
    exit: EXIT.denied,
    http: 403,
  }
  constructor(message: string, facts: ErrorFacts = {}) {
    super(NoBudgetError.info, message, facts)
  }
}

export class LedgerDamagedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-042',
    title: 'Privacy ledger damaged',
    meaning: 'The ledger of this site does not hold together: an entry was edited, removed, or signed by another key.',
    remedy:
      'Put ledger and anchor back from a backup of the same moment. Without one, treat the budget of its data as spent.',
    exit: EXIT.integrity,
    http: 500,
  }
  constructor(message: string, facts: ErrorFacts = {}) {
    super(LedgerDamagedError.info, message, facts)
  }
}

export class LedgerRolledBackError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-043',
    title: 'Privacy ledger rolled back',
    meaning: 'The ledger is older than its anchor, or than what this site or its peers saw of it: entries are missing.',
    remedy:
      'Put the newest ledger back. Releases that it does not know of were made: without it, treat the budget as spent.',
    exit: EXIT.integrity,
    http: 500,
  }
  constructor(message: string, facts: ErrorFacts = {}) {
    super(LedgerRolledBackError.info, message, facts)
  }
}

export class LedgerUnwritableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-044',
    title: 'Privacy ledger not writable',
    meaning:
      'A charge could not be written down, so nothing left the site: the disk is full, or the file may not be written.',
    remedy: 'Free space, or look at the owner and mode of the file and its folder.',
    exit: EXIT.noResources,
    http: 507,
  }
  constructor(message: string, facts: ErrorFacts = {}) {
    super(LedgerUnwritableError.info, message, facts)
  }
}

export class LedgerBusyError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-045',
    title: 'Privacy ledger busy',
    meaning: 'Another process of this site holds the ledger for longer than a charge takes.',
    remedy: 'Look for a stopped or frozen process of the same mesh home, and end it.',
    exit: EXIT.noResources,
    http: 503,
  }
  constructor(message: string, facts: ErrorFacts = {}) {
    super(LedgerBusyError.info, message, facts)
  }
}

export class ClockBackError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-FED-046',
    title: 'Clock set back',
    meaning: 'The clock of this machine says a time before the last entry of the ledger.',
    remedy: 'Set the clock right; entries stay in the order of time.',
    exit: EXIT.denied,
    http: 409,
  }
  constructor(message: string, facts: ErrorFacts = {}) {
    super(ClockBackError.info, message, facts)
  }
}

export const LEDGER_ERRORS: readonly ErrorInfo[] = [
  BudgetExceededError.info,
  NoBudgetError.info,
  LedgerDamagedError.info,
  LedgerRolledBackError.info,
  LedgerUnwritableError.info,
  LedgerBusyError.info,
  ClockBackError.info,
]
