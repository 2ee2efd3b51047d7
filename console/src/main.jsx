// The editor's workers, as files of the same origin.
import 'graphiql/setup-workers/vite';
// These four instead of graphiql/style.css, which carries 400 kB of web fonts.
import '@graphiql/react/style.css';
import '@graphiql/plugin-doc-explorer/style.css';
import '@graphiql/plugin-history/style.css';
import 'graphiql/graphiql.css';
import './explorer.css';

import { GraphiQL } from 'graphiql';
import { useEffect, useMemo, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { connect } from './connection.js';
import { samples } from './samples.js';
import { TokenBar } from './token.jsx';

// The token lasts as long as the browser tab.
const TOKEN = 'bursar-token';

function Explorer() {
  const [token, setToken] = useState(() => sessionStorage.getItem(TOKEN) ?? '');
  // A changed token means a new connection; GraphiQL then fetches the schema again.
  const { fetcher, close } = useMemo(() => connect(token), [token]);
  useEffect(() => close, [close]);

  function changeToken(value) {
    sessionStorage.setItem(TOKEN, value);
    setToken(value);
  }

  return (
    <>
      <TokenBar token={token} onChange={changeToken} />
      <main>
        <GraphiQL
          fetcher={fetcher}
          defaultTabs={samples}
          defaultEditorToolsVisibility="variables"
          isHeadersEditorEnabled={false}
          shouldPersistHeaders={false}
        >
          <GraphiQL.Logo>{' '}</GraphiQL.Logo>
        </GraphiQL>
      </main>
    </>
  );
}

createRoot(document.getElementById('root')).render(<Explorer />);
