/** Why an answer cannot be gone on with. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'

const ASK_AGAIN = 'Send the request again, without Last-Event-ID.'

export class StreamUnknownError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-020',
    title: 'No such answer',
    meaning: 'No answer of this id is kept here for this key and this route.',
    remedy: `${ASK_AGAIN} Answers survive a restart of the peer with weft up --journal.`,
    exit: EXIT.notFound,
    http: 404,
  }

  constructor() {
    super(StreamUnknownError.info, 'no answer of this id is kept here')
  }
}

export class StreamExpiredError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-021',
    title: 'Answer no longer kept',
    meaning: 'The client came back after the time for which its answer was kept.',
    remedy: `${ASK_AGAIN} weft.resume_s says how long an answer waits for its client.`,
    exit: EXIT.notFound,
    http: 410,
  }

  constructor() {
    super(StreamExpiredError.info, 'the answer is no longer kept')
  }
}

export class EventIdMalformedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-022',
    title: 'Malformed event id',
    meaning: 'Last-Event-ID is not the id of an event of an answer, or of another answer than the address names.',
    remedy: 'Send the id of the last event as it came, or leave the header out.',
    exit: EXIT.usage,
    http: 400,
  }

  constructor() {
    super(EventIdMalformedError.info, 'Last-Event-ID is not an id of this answer')
  }
}

export class EventAheadError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-023',
    title: 'Event was never sent',
    meaning: 'Last-Event-ID names an event beyond those that the answer has.',
    remedy: 'Send the id of the last event as it came.',
    exit: EXIT.usage,
    http: 409,
  }

  constructor(number: number, last: number) {
    super(EventAheadError.info, `event ${number} was never sent: the last one is ${last}`, {
      details: { number, last },
    })
  }
}

export class EventForgottenError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-024',
    title: 'Event no longer kept',
    meaning: 'Only the last events of a long answer are kept, and what follows Last-Event-ID is older.',
    remedy: ASK_AGAIN,
    exit: EXIT.notFound,
    http: 410,
  }

  constructor(number: number) {
    super(EventForgottenError.info, `event ${number} is no longer kept`, { details: { number } })
  }
}

export class ModelChangedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-API-025',
    title: 'Model has changed',
    meaning: 'The answer was begun with another model of the same name, so it cannot be computed again.',
    remedy: ASK_AGAIN,
    exit: EXIT.usage,
    http: 409,
  }

  constructor(model: string) {
    super(ModelChangedError.info, `'${model.slice(0, 80)}' is not the model that the answer was begun with`)
  }
}
