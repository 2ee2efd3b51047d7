import { getOperationAST } from 'graphql';
import { createClient } from 'graphql-ws';

// How GraphiQL reaches the server with one token: queries and mutations by
// POST, subscriptions over a WebSocket that opens with the first of them.
export function connect(token) {
  const authorization = token && `Bearer ${token}`;
  const socket = createClient({
    url: `${location.origin.replace(/^http/, 'ws')}/graphql/ws`,
    connectionParams: authorization ? { authorization } : undefined,
    // A lost connection is shown, not hidden: the next run opens another.
    retryAttempts: 0,
  });

  async function post(request) {
    const response = await fetch('/graphql', {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/graphql-response+json, application/json;q=0.9',
        ...(authorization && { authorization }),
      },
      body: JSON.stringify(request),
    });
    const text = await response.text();
    try {
      return JSON.parse(text);
    } catch {
      return { errors: [{ message: `The server answered ${response.status}: ${text.slice(0, 500)}` }] };
    }
  }

  // An observable, as GraphiQL expects it.
  const subscribe = (request) => ({
    subscribe(observer) {
      const unsubscribe = socket.subscribe(request, {
        next: (result) => observer.next(result),
        complete: () => observer.complete(),
        error: (error) => observer.error(readable(error)),
      });
      return { unsubscribe };
    },
  });

  return {
    fetcher(request, { documentAST } = {}) {
      const operation = documentAST && getOperationAST(documentAST, request.operationName);
      return operation?.operation === 'subscription' ? subscribe(request) : post(request);
    },
    close() {
      socket.dispose();
    },
  };
}

// GraphiQL shows errors as JSON, in which the event of a closed WebSocket is empty.
function readable(error) {
  if (!(error instanceof CloseEvent)) return error;
  return { message: `The WebSocket was closed: ${error.code} ${error.reason}`.trim() };
}
